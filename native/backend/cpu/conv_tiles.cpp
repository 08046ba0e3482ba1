// Each task takes a box of tiles of one frame: it splits the pixels under them into points,
// multiplies each point's rows (one a tile) by that point's part of a panel, and joins the sums
// into pixels. Tiles begin at even lines and columns of the picture. Where a band of lines ends
// within one, its other line is not written, and the input line that only that one needs reads as
// zeros: so the bits depend neither on boxes, threads nor bands.
#include "backend/cpu/conv_tiles.h"

#include <omp.h>

#include <algorithm>

#include "backend/cpu/scratch.h"
#include "backend/cpu/tile_kernels.h"

namespace engine::cpu {

namespace {

// Tiles of a box: each pass over the weights serves that many rows, a multiple of the product's
// tile; their sums (393 KiB a panel) stay in the second-level cache, their points in the third.
constexpr int64_t kBoxColumns = 16;
constexpr int64_t kBoxLines = 6;
constexpr int64_t kBoxBytes = int64_t{6} << 20;  // of points, at most (or of one line of tiles)
// One cache line between points: else all 16 of a tile lie in one set of the first-level cache.
constexpr int64_t kPointGapBytes = 64;

int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

using FourPoints = std::array<double, 4>;

FourPoints at_points(double g0, double g1, double g2) {
  return {g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2};
}

// Of one 3 x 3 kernel g: points [4, 4], `stride` apart.
void put_at_points(const float* g, float* points, int64_t stride) {
  std::array<FourPoints, 3> lines;
  for (size_t line = 0; line < 3; ++line, g += 3) {
    lines[line] =
        at_points(static_cast<double>(g[0]), static_cast<double>(g[1]), static_cast<double>(g[2]));
  }
  for (size_t column = 0; column < 4; ++column) {
    const FourPoints all = at_points(lines[0][column], lines[1][column], lines[2][column]);
    for (size_t line = 0; line < 4; ++line) {
      points[static_cast<int64_t>(line * 4 + column) * stride] = static_cast<float>(all[line]);
    }
  }
}

// [out, in, points, kt] from [out, in, (kt,) 3, 3].
Tensor weights_at_points(const CpuContext& context, ConstTensorView weight, int64_t times) {
  Tensor found({weight.dim(0), weight.dim(1), kTilePoints, times}, DType::kF32);
  if (context.packed != nullptr && context.packed->holds_all()) return found;  // nobody reads it
  for (int64_t kernel = 0; kernel < weight.dim(0) * weight.dim(1); ++kernel) {
    for (int64_t time = 0; time < times; ++time) {
      put_at_points(weight.f32() + (kernel * times + time) * 9,
                    found.f32() + kernel * kTilePoints * times + time, times);
    }
  }
  return found;
}

const TileKernels& tile_kernels_for(const CpuContext& context) {
  switch (context.isa) {
    case Isa::kAvx512:
      return context.bf16_native ? avx512_bf16::tile_kernels : avx512::tile_kernels;
    case Isa::kAvx2:
      return avx2::tile_kernels;
    case Isa::kBaseline:
      break;
  }
  return baseline::tile_kernels;
}

// How the work is cut into boxes, in tiles. No bit of the result depends on it, so it may follow
// the thread count.
struct Cut {
  int64_t first_line, lines, columns;  // of the band
  int64_t box_lines, box_columns;
  int64_t boxes_down, boxes_across;
  int64_t panels_a_task, panel_groups;
};

// `tile_bytes`: of one tile's points.
Cut cut_work(const ConvArgs& args, Band band, int64_t panels, int64_t tile_bytes, int threads) {
  constexpr int64_t kTasksAThread = 4;  // so that a slow thread costs little
  const int64_t wanted = threads * kTasksAThread, frames = args.output.dim(0);
  Cut cut{};
  cut.first_line = band.first / 2;
  cut.lines = ceil_div(band.end, 2) - cut.first_line;
  cut.columns = ceil_div(args.output.dim(2), 2);
  cut.boxes_across = ceil_div(cut.columns, kBoxColumns);
  cut.box_columns = ceil_div(cut.columns, cut.boxes_across);
  cut.box_lines = std::min(kBoxLines, cut.lines);
  const int64_t line_bytes = cut.box_columns * tile_bytes;
  const auto boxes = [&] { return frames * cut.boxes_across * ceil_div(cut.lines, cut.box_lines); };
  while (cut.box_lines > 1 && (cut.box_lines * line_bytes > kBoxBytes || boxes() < wanted)) {
    --cut.box_lines;
  }
  cut.boxes_down = ceil_div(cut.lines, cut.box_lines);
  cut.panels_a_task = std::clamp<int64_t>(panels * boxes() / wanted, 1, panels);
  cut.panel_groups = ceil_div(panels, cut.panels_a_task);
  return cut;
}

struct Box {
  int64_t frame;
  int64_t line, column;           // tiles
  int64_t lines, columns;         // tiles
  int64_t first_time, last_time;  // taps that lie in the clip, or one of zeros

  int64_t tiles() const { return lines * columns; }
};

struct TaskMemory {
  std::byte* values;      // [points, taps of time, tiles, depth]
  float* sums;            // [points, tiles, panel columns]
  const void** pixels;    // [tiles, 4, 4]
  const void** pointers;  // [taps of time, tiles]
  int64_t* places;        // [tiles, 2, 2]
  float* piece;
};

class TiledConv {
 public:
  TiledConv(const CpuContext& context, const ConvPart& part, const Lines& input,
            const ConvArgs& args, Band band, const void* padding)
      : context_(context),
        part_(part),
        input_(input),
        args_(args),
        band_(band),
        padding_(padding),
        kernels_(linear_kernels_for(context.isa)),
        tile_kernels_(tile_kernels_for(context)),
        element_bytes_(static_cast<int64_t>(dtype_bytes(input.values.dtype()))),
        pixel_bytes_(part.panels.depth * element_bytes_),
        cut_(cut_work(args, band, part.panels.values.dim(0),
                      kTilePoints * part.kernel[0] * pixel_bytes_, context.threads)),
        tiles_(cut_.box_lines * cut_.box_columns),
        point_bytes_(part.kernel[0] * tiles_ * pixel_bytes_ + kPointGapBytes),
        point_sums_(tiles_ * kernels_.panel_columns + kPointGapBytes / 4) {}

  void run() const {
    const int64_t tasks =
        args_.output.dim(0) * cut_.boxes_down * cut_.boxes_across * cut_.panel_groups;
    const bool widened = part_.panels.values.dtype() == DType::kBF16 && !part_.panels.pairs;
    ScratchLayout layout;
    const size_t values = layout.add<std::byte>(kTilePoints * point_bytes_);
    const size_t sums = layout.add<float>(kTilePoints * point_sums_);
    const size_t pixels = layout.add<const void*>(tiles_ * kTilePixels);
    const size_t pointers = layout.add<const void*>(part_.kernel[0] * tiles_);
    const size_t places = layout.add<int64_t>(tiles_ * kTileOutputs);
    const size_t piece = layout.add<float>(widened ? kernels_.piece_floats : 0);
    const Scratch scratch(0, static_cast<size_t>(context_.threads), layout.bytes());
#pragma omp parallel for num_threads(context_.threads) schedule(dynamic, 1)
    for (int64_t task = 0; task < tasks; ++task) {
      std::byte* mine = scratch.part(static_cast<size_t>(omp_get_thread_num()));
      run_task(task, {.values = mine + values,
                      .sums = reinterpret_cast<float*>(mine + sums),
                      .pixels = reinterpret_cast<const void**>(mine + pixels),
                      .pointers = reinterpret_cast<const void**>(mine + pointers),
                      .places = reinterpret_cast<int64_t*>(mine + places),
                      .piece = reinterpret_cast<float*>(mine + piece)});
    }
  }

 private:
  int64_t first_frame(const Box& box) const {  // of the input, under tap 0
    return box.frame * part_.stride[0] - part_.before[0];
  }

  Box box_of(int64_t index) const {
    const int64_t across = index % cut_.boxes_across;
    const int64_t down = index / cut_.boxes_across % cut_.boxes_down;
    Box box{.frame = index / (cut_.boxes_across * cut_.boxes_down),
            .line = cut_.first_line + down * cut_.box_lines,
            .column = across * cut_.box_columns,
            .lines = std::min(cut_.box_lines, cut_.lines - down * cut_.box_lines),
            .columns = std::min(cut_.box_columns, cut_.columns - across * cut_.box_columns),
            .first_time = 0,
            .last_time = 0};
    const int64_t begin = first_frame(box), taps = part_.kernel[0];
    box.first_time = std::clamp<int64_t>(-begin, 0, taps - 1);
    box.last_time = std::clamp(input_.values.dim(0) - begin, box.first_time + 1, taps);
    return box;
  }

  void run_task(int64_t task, const TaskMemory& memory) const {
    const Box box = box_of(task / cut_.panel_groups);
    for (int64_t time = box.first_time; time < box.last_time; ++time) split(box, time, memory);
    place(box, memory.places);
    const int64_t first = task % cut_.panel_groups * cut_.panels_a_task;
    const int64_t last = std::min(part_.panels.values.dim(0), first + cut_.panels_a_task);
    for (int64_t panel = first; panel < last; ++panel) {
      for (int64_t point = 0; point < kTilePoints; ++point) multiply(box, panel, point, memory);
      join(box, panel, memory);
    }
  }

  // The pixels of one frame under the box.
  void split(const Box& box, int64_t time, const TaskMemory& memory) const {
    const void** pixels = memory.pixels;
    for (int64_t line = box.line; line < box.line + box.lines; ++line) {
      for (int64_t column = box.column; column < box.column + box.columns; ++column) {
        pixels = locate(first_frame(box) + time, line * 2 - part_.before[1],
                        column * 2 - part_.before[2], pixels);
      }
    }
    tile_kernels_.split({.pixels = memory.pixels,
                         .bf16 = input_.values.dtype() == DType::kBF16,
                         .tiles = box.tiles(),
                         .channels = part_.panels.depth,
                         .values = memory.values + time * tiles_ * pixel_bytes_,
                         .point_stride = point_bytes_ / element_bytes_});
  }

  // Writes where the 4 x 4 pixels from (line, column) on lie.
  const void** locate(int64_t frame, int64_t line, int64_t column, const void** pixels) const {
    const ConstTensorView& values = input_.values;
    const bool frame_inside = frame >= 0 && frame < values.dim(0);
    for (int64_t y = line - input_.first; y < line - input_.first + 4; ++y) {
      const bool inside = frame_inside && y >= 0 && y < values.dim(1);
      const auto* first = static_cast<const std::byte*>(values.data()) +
                          (frame * values.dim(1) + y) * values.dim(2) * pixel_bytes_;
      for (int64_t x = column; x < column + 4; ++x) {
        *pixels++ = inside && x >= 0 && x < values.dim(2) ? first + x * pixel_bytes_ : padding_;
      }
    }
    return pixels;
  }

  void place(const Box& box, int64_t* places) const {
    const int64_t frame_lines = args_.output.dim(1), width = args_.output.dim(2);
    for (int64_t line = box.line; line < box.line + box.lines; ++line) {
      for (int64_t column = box.column; column < box.column + box.columns; ++column) {
        for (int64_t pixel = 0; pixel < kTileOutputs; ++pixel) {
          const int64_t y = line * 2 + pixel / 2, x = column * 2 + pixel % 2;
          const bool inside = y >= band_.first && y < band_.end && x < width;
          *places++ = inside ? (box.frame * frame_lines + y) * width + x : -1;
        }
      }
    }
  }

  void multiply(const Box& box, int64_t panel, int64_t point, const TaskMemory& memory) const {
    const Panels& panels = part_.panels;
    const void** pointers = memory.pointers;
    for (int64_t time = box.first_time; time < box.last_time; ++time) {
      const std::byte* first = memory.values + point * point_bytes_ + time * tiles_ * pixel_bytes_;
      for (int64_t tile = 0; tile < box.tiles(); ++tile) *pointers++ = first + tile * pixel_bytes_;
    }
    const int64_t tap = panel * panels.taps + point * part_.kernel[0] + box.first_time;
    const auto offset = static_cast<size_t>(tap * panels.depth * kernels_.panel_columns) *
                        dtype_bytes(panels.values.dtype());
    const auto multiply = panels.pairs ? avx512_bf16::multiply_pairs : kernels_.multiply;
    multiply({
        .rows = memory.pointers,
        .rows_bf16 = input_.values.dtype() == DType::kBF16,
        .row_stride = box.tiles(),
        .row_count = box.tiles(),
        .taps = box.last_time - box.first_time,
        .depth = panels.depth,
        .panel = static_cast<const std::byte*>(panels.values.view().data()) + offset,
        .panel_bf16 = panels.values.dtype() == DType::kBF16,
        .sums = memory.sums + point * point_sums_,
        .piece = memory.piece,
        .columns = columns_of(panel),
    });
  }

  void join(const Box& box, int64_t panel, const TaskMemory& memory) const {
    const int64_t column = panel * kernels_.panel_columns;
    const size_t offset = static_cast<size_t>(column) * dtype_bytes(args_.output.dtype());
    const void* residual = args_.residual.data();
    tile_kernels_.join({
        .sums = memory.sums,
        .point_stride = point_sums_,
        .tile_stride = kernels_.panel_columns,
        .tiles = box.tiles(),
        .bias = part_.panels.bias.view().f32() + column,
        .places = memory.places,
        .residual =
            residual == nullptr ? nullptr : static_cast<const std::byte*>(residual) + offset,
        .output = static_cast<std::byte*>(args_.output.data()) + offset,
        .output_bf16 = args_.output.dtype() == DType::kBF16,
        .output_stride = part_.panels.columns,
        .columns = columns_of(panel),
    });
  }

  int64_t columns_of(int64_t panel) const {
    const int64_t width = kernels_.panel_columns;
    return std::min(width, part_.panels.columns - panel * width);
  }

  const CpuContext& context_;
  const ConvPart& part_;
  const Lines& input_;
  const ConvArgs& args_;
  Band band_;
  const void* padding_;
  const LinearKernels& kernels_;
  const TileKernels& tile_kernels_;
  int64_t element_bytes_;  // of the input
  int64_t pixel_bytes_;
  Cut cut_;
  int64_t tiles_;        // of a box
  int64_t point_bytes_;  // of values from one point to the next
  int64_t point_sums_;   // from one point to the next
};

}  // namespace

ConvPart pack_tiles(const CpuContext& context, ConstTensorView weight, ConstTensorView bias,
                    const Axes& kernel, const ConvGeometry& geometry, DType compute, bool pairs) {
  const Tensor points = weights_at_points(context, weight, kernel[0]);
  return {.panels = pack_panels(context, points, kTilePoints * kernel[0], bias, compute, pairs),
          .kernel = kernel,
          .stride = geometry.stride,
          .before = geometry.pad_before,
          .tiled = true};
}

void conv_tiles(const CpuContext& context, const ConvPart& part, const Lines& input,
                const ConvArgs& args, Band band, const void* padding) {
  TiledConv(context, part, input, args, band, padding).run();
}

}  // namespace engine::cpu
