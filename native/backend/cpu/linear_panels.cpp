#include "backend/cpu/linear_panels.h"

#include <omp.h>

#include <algorithm>
#include <numeric>
#include <string>

#include "backend/cpu/scratch.h"

namespace engine::cpu {

namespace {

// Rows of one task: a multiple of the kernel's tile. Each pass over the weights serves that many
// rows, and their partial sums (48 KiB) stay in the second-level cache.
constexpr int64_t kBlockRows = 192;
constexpr int64_t kSmallestBlockRows = 24;

int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

// How the work is cut. No bit of the result depends on it, so it may follow the thread count.
struct Cut {
  int64_t block_rows;
  int64_t blocks;
  int64_t panels;
  int64_t panels_a_task;
  int64_t panel_groups;
};

Cut cut_work(int64_t rows, int64_t panels, int threads) {
  constexpr int64_t kTasksAThread = 4;  // so that a slow thread costs little
  const int64_t wanted = threads * kTasksAThread;
  Cut cut{.block_rows = kBlockRows,
          .blocks = 0,
          .panels = panels,
          .panels_a_task = panels,
          .panel_groups = 1};
  while (cut.block_rows > kSmallestBlockRows && ceil_div(rows, cut.block_rows) < wanted) {
    cut.block_rows /= 2;
  }
  cut.blocks = ceil_div(rows, cut.block_rows);
  if (cut.blocks < wanted) {
    cut.panels_a_task = std::max<int64_t>(1, panels * cut.blocks / wanted);
    cut.panel_groups = ceil_div(panels, cut.panels_a_task);
  }
  return cut;
}

struct TaskMemory {
  const void** pointers;
  int64_t* places;
  float* sums;
  float* piece;
  float* copy;
};

void run_task(const RowProduct& product, const LinearKernels& kernels, const Cut& cut, int64_t task,
              const TaskMemory& memory) {
  const Panels& panels = *product.panels;
  const int64_t first = task / cut.panel_groups * cut.block_rows;
  const int64_t count = std::min(cut.block_rows, product.rows - first);
  const int64_t first_panel = task % cut.panel_groups * cut.panels_a_task;
  const int64_t last_panel = std::min(cut.panels, first_panel + cut.panels_a_task);
  const TapRange taps =
      product.source->locate(first, count, memory.pointers, cut.block_rows, memory.copy);
  product.source->place(first, count, memory.places);
  const size_t element_bytes = dtype_bytes(panels.values.dtype());
  const size_t output_bytes = product.output_bf16 ? 2 : 4;
  for (int64_t panel = first_panel; panel < last_panel; ++panel) {
    const int64_t column = panel * kernels.panel_columns;
    const size_t offset = static_cast<size_t>(column) * output_bytes;
    const int64_t values =
        (panel * panels.taps + taps.first) * panels.depth * kernels.panel_columns;
    const auto multiply = panels.pairs ? avx512_bf16::multiply_pairs : kernels.multiply;
    multiply({
        .rows = memory.pointers + taps.first * cut.block_rows,
        .rows_bf16 = product.source->bf16(),
        .row_stride = cut.block_rows,
        .row_count = count,
        .taps = taps.last - taps.first,
        .depth = panels.depth,
        .panel = static_cast<const std::byte*>(panels.values.view().data()) +
                 static_cast<size_t>(values) * element_bytes,
        .panel_bf16 = panels.values.dtype() == DType::kBF16,
        .sums = memory.sums,
        .piece = memory.piece,
        .bias = panels.bias.view().f32() + column,
        .epilogue = product.epilogue,
        .places = memory.places,
        .residual = product.residual == nullptr
                        ? nullptr
                        : static_cast<const std::byte*>(product.residual) + offset,
        .output = static_cast<std::byte*>(product.output) + offset,
        .output_bf16 = product.output_bf16,
        .output_stride = panels.columns,
        .columns = std::min(kernels.panel_columns, panels.columns - column),
    });
  }
}

// weight: [columns, depth, taps]; panels: [panels, taps · depth, panel columns], or pairs of lines.
void fill_panels(ConstTensorView weight, int64_t taps, bool pairs, TensorView panels) {
  const int64_t columns = weight.dim(0), depth = weight.elements() / columns / taps;
  const int64_t width = panels.dim(2);
  const Tensor source = to_f32(weight);
  for (int64_t line = 0; line < panels.dim(0) * taps * depth; ++line) {
    const int64_t panel = line / (taps * depth), tap = line / depth % taps, i = line % depth;
    for (int64_t lane = 0; lane < width; ++lane) {
      const int64_t column = panel * width + lane;
      const float value = column < columns ? source.f32()[(column * depth + i) * taps + tap] : 0.0f;
      const int64_t place = pairs ? (line / 2 * width + lane) * 2 + line % 2 : line * width + lane;
      if (panels.dtype() == DType::kBF16) {
        panels.bf16()[place] = bf16_from_float(value);
      } else {
        panels.f32()[place] = value;
      }
    }
  }
}

}  // namespace

void RowSource::place(int64_t first, int64_t count, int64_t* places) const {
  std::iota(places, places + count, first);
}

void fill_bias(ConstTensorView bias, TensorView packed) {
  std::fill_n(packed.f32(), packed.elements(), 0.0f);
  if (bias.empty()) return;
  const Tensor values = to_f32(bias);
  std::copy_n(values.f32(), values.elements(), packed.f32());
}

const LinearKernels& linear_kernels_for(Isa isa) {
  switch (isa) {
    case Isa::kAvx512:
      return avx512::linear_kernels;
    case Isa::kAvx2:
      return avx2::linear_kernels;
    case Isa::kBaseline:
      break;
  }
  return baseline::linear_kernels;
}

Panels pack_panels(const CpuContext& context, ConstTensorView weight, int64_t taps,
                   ConstTensorView bias, DType storage, bool pairs) {
  const int64_t columns = weight.dim(0), depth = weight.elements() / columns / taps;
  const int64_t width = linear_kernels_for(context.isa).panel_columns;
  const int64_t panel_count = ceil_div(columns, width);
  const std::string layout =
      (pairs ? "pairs of " : "panels of ") + std::to_string(columns) + " columns";
  Panels panels{
      .taps = taps, .depth = depth, .columns = columns, .values = {}, .pairs = pairs, .bias = {}};
  panels.values = keep_packed(context.packed, layout, {panel_count, taps * depth, width}, storage,
                              [&](TensorView packed) { fill_panels(weight, taps, pairs, packed); });
  panels.bias = keep_packed(context.packed, "bias", {panel_count * width}, DType::kF32,
                            [&](TensorView packed) { fill_bias(bias, packed); });
  return panels;
}

void multiply_rows(const CpuContext& context, const RowProduct& product) {
  if (product.rows == 0) return;
  const LinearKernels& kernels = linear_kernels_for(context.isa);
  const Panels& panels = *product.panels;
  const Cut cut = cut_work(product.rows, panels.values.dim(0), context.threads);
  ScratchLayout layout;
  const size_t pointers = layout.add<const void*>(panels.taps * cut.block_rows);
  const size_t places = layout.add<int64_t>(cut.block_rows);
  const size_t sums = layout.add<float>(cut.block_rows * kernels.panel_columns);
  const bool widened = panels.values.dtype() == DType::kBF16 && !panels.pairs;
  const size_t piece = layout.add<float>(widened ? kernels.piece_floats : 0);
  const size_t copy = layout.add<float>(cut.block_rows * product.source->copy_floats_a_row());
  const Scratch scratch(0, static_cast<size_t>(context.threads), layout.bytes());
#pragma omp parallel for num_threads(context.threads) schedule(dynamic, 1)
  for (int64_t task = 0; task < cut.blocks * cut.panel_groups; ++task) {
    std::byte* mine = scratch.part(static_cast<size_t>(omp_get_thread_num()));
    run_task(product, kernels, cut, task,
             {.pointers = reinterpret_cast<const void**>(mine + pointers),
              .places = reinterpret_cast<int64_t*>(mine + places),
              .sums = reinterpret_cast<float*>(mine + sums),
              .piece = reinterpret_cast<float*>(mine + piece),
              .copy = reinterpret_cast<float*>(mine + copy)});
  }
}

}  // namespace engine::cpu
