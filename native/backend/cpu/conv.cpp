// Convolution as a product of rows and panels (linear_panels.h): a row is an output pixel, a tap of
// it is the input pixel under one tap of the kernel, or zeros where that lies in the padding. So no
// copy of the picture is made, every sum runs over taps and channels in one order, and the bits
// depend neither on threads nor on how many frames come in one call. (oneDNN's convolutions were
// seen to change bits with the number of threads.)
//
// On a picture whose pixels are doubled a 3 x 3 kernel covers 2 x 2 pixels only. Which of its taps
// share a pixel depends on whether the output pixel lies on an even or an odd line and column: so
// such a convolution is four of 2 x 2 taps, whose weights are sums, and the doubled picture is not
// made: 4/9 of the products.
#include "backend/cpu/conv.h"

#include <algorithm>
#include <vector>

#include "backend/cpu/linear_panels.h"
#include "backend/shapes.h"

namespace engine::cpu {

namespace {

using Axes = std::array<int64_t, 3>;  // t, h, w

// One product: of all output pixels, or of those on every other line and column.
struct ConvPart {
  Panels panels;
  Axes kernel;
  Axes stride;            // input pixels from one row of the product to the next
  Axes before;            // input pixels that tap 0 of the first row lies in front of the input
  Axes spacing{1, 1, 1};  // output pixels from one row to the next
  Axes first{0, 0, 0};    // output pixel of the first row
};

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
};

Window window(const ConvPart& part, ConstTensorView input, int axis, int64_t place) {
  const auto at = static_cast<size_t>(axis);
  return {.begin = place * part.stride[at] - part.before[at],
          .taps = part.kernel[at],
          .size = input.dim(axis)};
}

class OutputPixels final : public RowSource {
 public:
  OutputPixels(const PanelConvWeights& weights, const ConvPart& part, const ConvArgs& args)
      : weights_(weights), part_(part), args_(args) {}

  int64_t rows() const { return size(0) * size(1) * size(2); }

  TapRange locate(int64_t first, int64_t count, const void** pointers, int64_t stride,
                  float*) const override {
    TapRange range{.first = part_.panels.taps, .last = 0};
    for (int64_t i = 0; i < count; ++i) {
      const Axes at = coordinates(first + i);
      locate_taps({window(part_, args_.input, 0, at[0]), window(part_, args_.input, 1, at[1]),
                   window(part_, args_.input, 2, at[2])},
                  pointers + i, stride, range);
    }
    // Where all lies in the padding one tap remains: it gives the zeros that the bias is added to.
    return range.last > 0 ? range : TapRange{.first = 0, .last = 1};
  }

  void place(int64_t first, int64_t count, int64_t* places) const override {
    for (int64_t i = 0; i < count; ++i) {
      Axes at = coordinates(first + i);
      for (size_t axis = 0; axis < at.size(); ++axis) {
        at[axis] = part_.first[axis] + at[axis] * part_.spacing[axis];
      }
      places[i] = (at[0] * args_.output.dim(1) + at[1]) * args_.output.dim(2) + at[2];
    }
  }

  bool bf16() const override { return weights_.compute() == DType::kBF16; }

 private:
  int64_t size(int axis) const {
    return args_.output.dim(axis) / part_.spacing[static_cast<size_t>(axis)];
  }
  Axes coordinates(int64_t row) const {
    return {row / (size(1) * size(2)), row / size(2) % size(1), row % size(2)};
  }

  // Pointers to the input pixels of one row, tap after tap, `stride` apart. Widens `range` to the
  // taps that are inside.
  void locate_taps(const std::array<Window, 3>& windows, const void** pointers, int64_t stride,
                   TapRange& range) const {
    const auto& [time, rows, columns] = windows;
    const auto* first = static_cast<const std::byte*>(args_.input.data());
    const int64_t pixel_bytes =
        weights_.in() * static_cast<int64_t>(dtype_bytes(args_.input.dtype()));
    int64_t tap = 0;
    for (int64_t t = 0; t < time.taps; ++t) {
      for (int64_t y = 0; y < rows.taps; ++y) {
        const bool line_inside = time.holds(t) && rows.holds(y);
        const int64_t line = (time.begin + t) * rows.size + rows.begin + y;
        for (int64_t x = 0; x < columns.taps; ++x, ++tap) {
          const bool inside = line_inside && columns.holds(x);
          const int64_t pixel = line * columns.size + columns.begin + x;
          pointers[tap * stride] = inside ? static_cast<const void*>(first + pixel * pixel_bytes)
                                          : weights_.padding.data();
          if (!inside) continue;
          range.first = std::min(range.first, tap);
          range.last = std::max(range.last, tap + 1);
        }
      }
    }
  }

  const PanelConvWeights& weights_;
  const ConvPart& part_;
  const ConvArgs& args_;
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
  const auto& weights = dynamic_cast<const PanelConvWeights&>(*args.weights);
  for (const ConvPart& part : weights.parts) {
    const OutputPixels pixels(weights, part, args);
    multiply_rows(context, {.panels = &part.panels,
                            .source = &pixels,
                            .rows = pixels.rows(),
                            .residual = args.residual.data(),
                            .output = args.output.data(),
                            .output_bf16 = args.output.dtype() == DType::kBF16});
  }
}

}  // namespace engine::cpu
