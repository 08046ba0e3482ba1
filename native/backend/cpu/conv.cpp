// Convolution as a product of rows and panels (linear_panels.h): a row is an output pixel, a tap of
// it is the input pixel under one tap of the kernel, or zeros where that lies in the padding. So no
// copy of the picture is made, every sum runs over taps and channels in one order, and the bits
// depend neither on threads nor on how many frames come in one call. (oneDNN's convolutions were
// seen to change bits with the number of threads.)
//
// On a picture whose pixels are doubled a 3 x 3 kernel covers 2 x 2 pixels only. Which of its taps
// share a pixel depends on whether the output pixel lies on an even or an odd line and column: so
// such a convolution is four of 2 x 2 taps, whose weights are sums, and the doubled picture is not
// made: 4/9 of the products. As many are left of other wide 3 x 3 convolutions (conv_tiles.h).
#include "backend/cpu/conv.h"

#include <algorithm>
#include <vector>

#include "backend/cpu/conv_tiles.h"
#include "backend/cpu/group_norm.h"
#include "backend/cpu/parallel.h"
#include "backend/shapes.h"

namespace engine::cpu {

namespace {

class PanelConvWeights final : public ConvWeights {
 public:
  PanelConvWeights(int64_t in, int64_t out, Axes kernel, ConvGeometry geometry, DType compute,
                   std::vector<ConvPart> packed)
      : ConvWeights(in, out, kernel, geometry, compute),
        parts(std::move(packed)),
        padding(static_cast<size_t>(in), 0.0f) {}

  std::vector<ConvPart> parts;
  std::vector<float> padding;  // the pixel that lies outside, in either dtype
};

// Where each tap of one axis falls for a row of the product.
struct Window {
  int64_t begin;  // input coordinate of tap 0, maybe negative
  int64_t taps;
  int64_t size;

  bool holds(int64_t tap) const { return begin + tap >= 0 && begin + tap < size; }
  bool all_inside() const { return begin >= 0 && begin + taps <= size; }
};

Window window(const ConvPart& part, size_t axis, int64_t place, int64_t size) {
  return {.begin = place * part.stride[axis] - part.before[axis],
          .taps = part.kernel[axis],
          .size = size};
}

class OutputPixels final : public RowSource {
 public:
  // `input` has all lines that the band needs.
  OutputPixels(const PanelConvWeights& weights, const ConvPart& part, const Lines& input,
               TensorView output, Band band)
      : weights_(weights), part_(part), input_(input), output_(output), band_(band) {}

  int64_t rows() const { return size(0) * size(1) * size(2); }

  TapRange locate(int64_t first, int64_t count, const void** pointers, int64_t stride,
                  float*) const override {
    TapRange range{.first = part_.panels.taps, .last = 0};
    const ConstTensorView& input = input_.values;
    Axes at = coordinates(first);
    for (int64_t i = 0; i < count; ++i, advance(at)) {
      locate_taps({window(part_, 0, at[0], input.dim(0)), window(part_, 1, at[1], input_.height),
                   window(part_, 2, at[2], input.dim(2))},
                  pointers + i, stride, range);
    }
    // Where all lies in the padding one tap remains: it gives the zeros that the bias is added to.
    return range.last > 0 ? range : TapRange{.first = 0, .last = 1};
  }

  void place(int64_t first, int64_t count, int64_t* places) const override {
    const auto& [t, y, x] = part_.spacing;
    Axes at = coordinates(first);
    for (int64_t i = 0; i < count; ++i, advance(at)) {
      const int64_t line =
          (part_.first[0] + at[0] * t) * output_.dim(1) + part_.first[1] + at[1] * y;
      places[i] = line * output_.dim(2) + part_.first[2] + at[2] * x;
    }
  }

  bool bf16() const override { return weights_.compute() == DType::kBF16; }

 private:
  int64_t size(int axis) const {
    if (axis == 1) return band_.end - band_.first;
    return output_.dim(axis) / part_.spacing[static_cast<size_t>(axis)];
  }
  Axes coordinates(int64_t row) const {
    return {row / (size(1) * size(2)), band_.first + row / size(2) % size(1), row % size(2)};
  }
  // To the next row's.
  void advance(Axes& at) const {
    if (++at[2] < size(2)) return;
    at[2] = 0;
    if (++at[1] < band_.end) return;
    at[1] = band_.first;
    ++at[0];
  }

  // Pointers to the input pixels of one row, tap after tap, `stride` apart. Widens `range` to the
  // taps that are inside.
  void locate_taps(const std::array<Window, 3>& windows, const void** pointers, int64_t stride,
                   TapRange& range) const {
    const auto& [time, rows, columns] = windows;
    const ConstTensorView& input = input_.values;
    const auto* first = static_cast<const std::byte*>(input.data());
    const int64_t pixel_bytes = weights_.in() * static_cast<int64_t>(dtype_bytes(input.dtype()));
    int64_t tap = 0;
    for (int64_t t = 0; t < time.taps; ++t) {
      for (int64_t y = 0; y < rows.taps; ++y) {
        const bool line_inside = time.holds(t) && rows.holds(y);
        const int64_t line = (time.begin + t) * input.dim(1) + rows.begin + y - input_.first;
        int64_t offset = (line * columns.size + columns.begin) * pixel_bytes;
        if (line_inside && columns.all_inside()) {
          range.first = std::min(range.first, tap);
          for (int64_t x = 0; x < columns.taps; ++x, ++tap, offset += pixel_bytes) {
            pointers[tap * stride] = first + offset;
          }
          range.last = std::max(range.last, tap);
          continue;
        }
        for (int64_t x = 0; x < columns.taps; ++x, ++tap, offset += pixel_bytes) {
          const bool inside = line_inside && columns.holds(x);
          pointers[tap * stride] =
              inside ? static_cast<const void*>(first + offset) : weights_.padding.data();
          if (!inside) continue;
          range.first = std::min(range.first, tap);
          range.last = std::max(range.last, tap + 1);
        }
      }
    }
  }

  const PanelConvWeights& weights_;
  const ConvPart& part_;
  Lines input_;
  TensorView output_;
  Band band_;
};

// [out, in, 2, 2] from [out, in, (1,) 3, 3]: the taps that fall on the same pixel of the picture
// before it is doubled, for output pixels on even (0) or odd (1) lines and columns.
Tensor summed_taps(const CpuContext& context, ConstTensorView weight, int64_t line,
                   int64_t column) {
  const int64_t kernels = weight.dim(0) * weight.dim(1);
  Tensor summed({weight.dim(0), weight.dim(1), 2, 2}, DType::kF32);
  if (context.packed != nullptr && context.packed->holds_all()) return summed;  // nobody reads it
  const auto pixel_of = [](int64_t tap, int64_t phase) { return (tap + 1 - phase) / 2; };
  for (int64_t kernel = 0; kernel < kernels; ++kernel) {
    std::array<double, 4> sums{};
    for (int64_t tap = 0; tap < 9; ++tap) {
      const int64_t at = pixel_of(tap / 3, line) * 2 + pixel_of(tap % 3, column);
      sums[static_cast<size_t>(at)] += static_cast<double>(weight.f32()[kernel * 9 + tap]);
    }
    for (int64_t at = 0; at < 4; ++at) {
      summed.f32()[kernel * 4 + at] = static_cast<float>(sums[static_cast<size_t>(at)]);
    }
  }
  return summed;
}

void multiply_band(const CpuContext& context, const ConvPart& part, const Lines& input,
                   const ConvArgs& args, Band band) {
  const auto& weights = dynamic_cast<const PanelConvWeights&>(*args.weights);
  if (part.tiled) {
    return conv_tiles(context, part, input, args, band, weights.padding.data());
  }
  const OutputPixels pixels(weights, part, input, args.output, band);
  multiply_rows(context, {.panels = &part.panels,
                          .source = &pixels,
                          .rows = pixels.rows(),
                          .residual = args.residual.data(),
                          .output = args.output.data(),
                          .output_bf16 = args.output.dtype() == DType::kBF16});
}

// Norms as many lines as there is room for, multiplies the band that they are enough for, goes on
// behind it. Lines between two bands are normed twice.
void conv_normed(const CpuContext& context, const ConvPart& part, const ConvArgs& args) {
  const ConvNorm& norm = args.norm;
  const GroupNormArgs norm_args{.input = args.input,
                                .weight = norm.weight,
                                .bias = norm.bias,
                                .groups = norm.groups,
                                .frames_per_norm = norm.frames_per_norm,
                                .eps = norm.eps,
                                .silu = true,
                                .output = {}};
  const GroupNormFactors factors(context, norm_args);
  const Shape in = args.input.shape();
  const int64_t line = in[2] * in[3];  // elements
  const int64_t line_bytes = line * static_cast<int64_t>(dtype_bytes(args.input.dtype()));
  const int64_t room = norm.lines.elements() / (in[0] * line_bytes);
  const int64_t band_lines = (room - part.kernel[1]) / part.stride[1] + 1;
  const int64_t height = args.output.dim(1);
  for (int64_t first = 0; first < height; first += band_lines) {
    const Band band{.first = first, .end = std::min(height, first + band_lines)};
    const int64_t from = std::clamp<int64_t>(first * part.stride[1] - part.before[1], 0, in[1] - 1);
    const int64_t last = (band.end - 1) * part.stride[1] - part.before[1] + part.kernel[1];
    const int64_t count = std::max<int64_t>(1, std::min(in[1], last) - from);
    const TensorView lines(norm.lines.data(), args.input.dtype(), {in[0], count, in[2], in[3]});
    parallel_ranges(context, in[0] * count, line_bytes * 2, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t frame = row / count;
        factors.apply(frame / norm.frames_per_norm,
                      row_of(args.input, (frame * in[1] + from + row % count) * line),
                      row_of(lines, row * line), in[2]);
      }
    });
    multiply_band(context, part, {.values = lines, .first = from, .height = in[1]}, args, band);
  }
}

// Of a doubled picture.
std::vector<ConvPart> pack_quarters(const CpuContext& context, ConstTensorView weight,
                                    ConstTensorView bias, DType compute, bool pairs) {
  std::vector<ConvPart> parts;
  for (const int64_t line : {0, 1}) {
    for (const int64_t column : {0, 1}) {
      const Tensor summed = summed_taps(context, weight, line, column);
      parts.push_back({.panels = pack_panels(context, summed, 4, bias, compute, pairs),
                       .kernel = {1, 2, 2},
                       .stride = {1, 1, 1},
                       .before = {0, 1 - line, 1 - column},
                       .spacing = {1, 2, 2},
                       .first = {0, line, column}});
    }
  }
  return parts;
}

}  // namespace

std::unique_ptr<ConvWeights> pack_conv(const CpuContext& context, ConstTensorView weight,
                                       ConstTensorView bias, ConvGeometry geometry, DType compute) {
  check_conv_weights(weight, bias, geometry, compute);
  const bool deep = weight.shape().rank() == 5;
  const Axes kernel{deep ? weight.dim(2) : 1, weight.dim(deep ? 3 : 2), weight.dim(deep ? 4 : 3)};
  const bool pairs = compute == DType::kBF16 && context.bf16_native && weight.dim(1) % 2 == 0;
  std::vector<ConvPart> parts;
  if (geometry.upsample) {
    parts = pack_quarters(context, weight, bias, compute, pairs);
  } else if (in_tiles(weight.dim(1), weight.dim(0), kernel, geometry)) {
    parts.push_back(pack_tiles(context, weight, bias, kernel, geometry, compute, pairs));
  } else {
    const int64_t taps = kernel[0] * kernel[1] * kernel[2];
    parts.push_back({.panels = pack_panels(context, weight, taps, bias, compute, pairs),
                     .kernel = kernel,
                     .stride = geometry.stride,
                     .before = geometry.pad_before});
  }
  return std::make_unique<PanelConvWeights>(weight.dim(1), weight.dim(0), kernel, geometry, compute,
                                            std::move(parts));
}

void conv(const CpuContext& context, const ConvArgs& args) {
  check_args(args);
  if (args.output.elements() == 0) return;
  const auto& weights = dynamic_cast<const PanelConvWeights&>(*args.weights);
  if (args.norm.groups != 0) return conv_normed(context, weights.parts.front(), args);
  const Lines input{.values = args.input, .first = 0, .height = args.input.dim(1)};
  for (const ConvPart& part : weights.parts) {
    multiply_band(context, part, input, args,
                  {.first = 0, .end = args.output.dim(1) / part.spacing[1]});
  }
}

}  // namespace engine::cpu
