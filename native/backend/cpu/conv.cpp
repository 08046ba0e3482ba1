// Convolution as a product of rows and panels (linear_panels.h): a row is an output pixel, a tap of
// it is the input pixel under one tap of the kernel, or zeros where that lies in the padding. So no
// copy of the picture is made, every sum runs over taps and channels in one order, and the bits
// depend neither on threads nor on how many frames come in one call. (oneDNN's convolutions were
// seen to change bits with the number of threads.)
#include "backend/cpu/conv.h"

#include <algorithm>
#include <vector>

#include "backend/cpu/linear_panels.h"
#include "backend/shapes.h"

namespace engine::cpu {

namespace {

class PanelConvWeights final : public ConvWeights {
 public:
  PanelConvWeights(int64_t in, int64_t out, std::array<int64_t, 3> kernel, ConvGeometry geometry,
                   DType compute, Panels packed)
      : ConvWeights(in, out, kernel, geometry, compute),
        panels(std::move(packed)),
        padding(static_cast<size_t>(in), 0.0f) {}

  Panels panels;
  std::vector<float> padding;  // the pixel that lies outside, in either dtype
};

// Where each tap of one axis falls for an output coordinate.
struct Window {
  int64_t begin;  // input coordinate of tap 0, maybe negative
  int64_t taps;
  int64_t size;

  bool holds(int64_t tap) const { return begin + tap >= 0 && begin + tap < size; }
};

Window window(const ConvWeights& weights, ConstTensorView input, int axis, int64_t place) {
  const auto at = static_cast<size_t>(axis);
  const ConvGeometry& geometry = weights.geometry();
  return {.begin = place * geometry.stride[at] - geometry.pad_before[at],
          .taps = weights.kernel()[at],
          .size = input.dim(axis)};
}

// Pointers to the input pixels of one output pixel, tap after tap, `stride` apart. Widens `range`
// to the taps that are inside.
void locate_taps(const PanelConvWeights& weights, ConstTensorView input,
                 const std::array<Window, 3>& windows, const void** pointers, int64_t stride,
                 TapRange& range) {
  const auto& [time, rows, columns] = windows;
  const auto* first = static_cast<const std::byte*>(input.data());
  const int64_t pixel_bytes = weights.in() * static_cast<int64_t>(dtype_bytes(input.dtype()));
  int64_t tap = 0;
  for (int64_t t = 0; t < time.taps; ++t) {
    for (int64_t y = 0; y < rows.taps; ++y) {
      const bool line_inside = time.holds(t) && rows.holds(y);
      const int64_t line = (time.begin + t) * rows.size + rows.begin + y;
      for (int64_t x = 0; x < columns.taps; ++x, ++tap) {
        const bool inside = line_inside && columns.holds(x);
        const int64_t pixel = line * columns.size + columns.begin + x;
        pointers[tap * stride] =
            inside ? static_cast<const void*>(first + pixel * pixel_bytes) : weights.padding.data();
        if (!inside) continue;
        range.first = std::min(range.first, tap);
        range.last = std::max(range.last, tap + 1);
      }
    }
  }
}

class OutputPixels final : public RowSource {
 public:
  OutputPixels(const PanelConvWeights& weights, const ConvArgs& args)
      : weights_(weights), args_(args) {}

  TapRange locate(int64_t first, int64_t count, const void** pointers, int64_t stride,
                  float*) const override {
    const int64_t height = args_.output.dim(1), width = args_.output.dim(2);
    TapRange range{.first = weights_.panels.taps, .last = 0};
    for (int64_t i = 0; i < count; ++i) {
      const int64_t pixel = first + i;
      locate_taps(weights_, args_.input,
                  {window(weights_, args_.input, 0, pixel / (height * width)),
                   window(weights_, args_.input, 1, pixel / width % height),
                   window(weights_, args_.input, 2, pixel % width)},
                  pointers + i, stride, range);
    }
    // Where all lies in the padding one tap remains: it gives the zeros that the bias is added to.
    return range.last > 0 ? range : TapRange{.first = 0, .last = 1};
  }
  bool bf16() const override { return weights_.compute() == DType::kBF16; }

 private:
  const PanelConvWeights& weights_;
  const ConvArgs& args_;
};

}  // namespace

std::unique_ptr<ConvWeights> pack_conv(const CpuContext& context, ConstTensorView weight,
                                       ConstTensorView bias, ConvGeometry geometry, DType compute) {
  check_conv_weights(weight, bias, geometry, compute);
  const bool deep = weight.shape().rank() == 5;
  const std::array<int64_t, 3> kernel{deep ? weight.dim(2) : 1, weight.dim(deep ? 3 : 2),
                                      weight.dim(deep ? 4 : 3)};
  const bool pairs = compute == DType::kBF16 && context.bf16_native && weight.dim(1) % 2 == 0;
  return std::make_unique<PanelConvWeights>(
      weight.dim(1), weight.dim(0), kernel, geometry, compute,
      pack_panels(context, weight, kernel[0] * kernel[1] * kernel[2], bias, compute, pairs));
}

void conv(const CpuContext& context, const ConvArgs& args) {
  check_args(args);
  const auto& weights = dynamic_cast<const PanelConvWeights&>(*args.weights);
  const OutputPixels pixels(weights, args);
  multiply_rows(context, {.panels = &weights.panels,
                          .source = &pixels,
                          .rows = args.output.dim(0) * args.output.dim(1) * args.output.dim(2),
                          .residual = args.residual.data(),
                          .output = args.output.data(),
                          .output_bf16 = args.output.dtype() == DType::kBF16});
}

}  // namespace engine::cpu
