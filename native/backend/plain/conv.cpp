// Convolutions, and the layouts of frames.
#include <vector>

#include "backend/plain/element.h"
#include "backend/plain/operations.h"
#include "backend/shapes.h"

namespace engine::plain {

namespace {

class PlainConvWeights final : public ConvWeights {
 public:
  PlainConvWeights(int64_t in, int64_t out, std::array<int64_t, 3> kernel, ConvGeometry geometry,
                   DType compute)
      : ConvWeights(in, out, kernel, geometry, compute) {}

  std::vector<float> weight;  // [out, in, kt, kh, kw]
  std::vector<float> bias;    // [out], zeros if there is none
};

// Sum over the taps that lie inside the input, for one output pixel and channel.
double convolve(const PlainConvWeights& weights, const ConstTensorView& input,
                const std::array<int64_t, 3>& place, int64_t out) {
  const auto& kernel = weights.kernel();
  const auto& geometry = weights.geometry();
  const std::array<int64_t, 3> size =
      geometry.convolved_size({input.dim(0), input.dim(1), input.dim(2)});
  double sum = static_cast<double>(weights.bias[static_cast<size_t>(out)]);
  for (int64_t tap = 0; tap < kernel[0] * kernel[1] * kernel[2]; ++tap) {
    const std::array<int64_t, 3> offset{tap / (kernel[1] * kernel[2]), tap / kernel[2] % kernel[1],
                                        tap % kernel[2]};
    std::array<int64_t, 3> at{};
    bool inside = true;
    for (size_t axis = 0; axis < 3; ++axis) {
      at[axis] = place[axis] * geometry.stride[axis] - geometry.pad_before[axis] + offset[axis];
      inside = inside && at[axis] >= 0 && at[axis] < size[axis];
      at[axis] = at[axis] * input.dim(static_cast<int>(axis)) / size[axis];
    }
    if (!inside) continue;
    const int64_t pixel = ((at[0] * input.dim(1) + at[1]) * input.dim(2) + at[2]) * weights.in();
    for (int64_t in = 0; in < weights.in(); ++in) {
      const int64_t element = (out * weights.in() + in) * kernel[0] * kernel[1] * kernel[2] + tap;
      sum += static_cast<double>(load(input, pixel + in)) *
             static_cast<double>(weights.weight[static_cast<size_t>(element)]);
    }
  }
  return sum;
}

}  // namespace

std::unique_ptr<ConvWeights> pack_conv(ConstTensorView weight, ConstTensorView bias,
                                       ConvGeometry geometry, DType compute) {
  check_conv_weights(weight, bias, geometry, compute);
  const bool deep = weight.shape().rank() == 5;
  const std::array<int64_t, 3> kernel{deep ? weight.dim(2) : 1, weight.dim(deep ? 3 : 2),
                                      weight.dim(deep ? 4 : 3)};
  auto packed =
      std::make_unique<PlainConvWeights>(weight.dim(1), weight.dim(0), kernel, geometry, compute);
  packed->weight.assign(weight.f32(), weight.f32() + weight.elements());
  if (compute == DType::kBF16) {
    for (float& value : packed->weight) value = float_from_bf16(bf16_from_float(value));
  }
  packed->bias.resize(static_cast<size_t>(weight.dim(0)), 0.0f);
  if (!bias.empty()) packed->bias.assign(bias.f32(), bias.f32() + bias.elements());
  return packed;
}

void conv(const ConvArgs& args) {
  check_args(args);
  const auto& weights = dynamic_cast<const PlainConvWeights&>(*args.weights);
  Tensor normed;
  ConstTensorView input = args.input;
  if (args.norm.groups != 0) {
    normed = Tensor(input.shape(), input.dtype());
    group_norm({.input = input,
                .weight = args.norm.weight,
                .bias = args.norm.bias,
                .groups = args.norm.groups,
                .frames_per_norm = args.norm.frames_per_norm,
                .eps = args.norm.eps,
                .silu = true,
                .output = normed});
    input = normed;
  }
  const int64_t height = args.output.dim(1), width = args.output.dim(2);
  for (int64_t pixel = 0; pixel < args.output.dim(0) * height * width; ++pixel) {
    const std::array<int64_t, 3> place{pixel / (height * width), pixel / width % height,
                                       pixel % width};
    for (int64_t out = 0; out < weights.out(); ++out) {
      const int64_t element = pixel * weights.out() + out;
      double sum = convolve(weights, input, place, out);
      if (!args.residual.empty()) sum += static_cast<double>(load(args.residual, element));
      store(args.output, element, sum);
    }
  }
}

void channels_to_time(const ChannelsToTimeArgs& args) {
  check_args(args);
  const int64_t pixels = args.input.dim(1) * args.input.dim(2), channels = args.input.dim(3);
  for (int64_t i = 0; i < args.input.elements(); ++i) {
    const int64_t channel = i % channels, pixel = i / channels % pixels;
    const int64_t frame = i / channels / pixels * 2 + channel % 2;
    store(args.output, (frame * pixels + pixel) * (channels / 2) + channel / 2,
          static_cast<double>(load(args.input, i)));
  }
}

void channels_last(const ChannelsLastArgs& args) {
  check_args(args);
  const int64_t channels = args.input.dim(0), pixels = args.output.elements() / channels;
  for (int64_t i = 0; i < args.input.elements(); ++i) {
    const int64_t c = i / pixels;
    float value = args.input.f32()[i];
    if (args.scale != nullptr) value *= args.scale[c];
    if (args.shift != nullptr) value += args.shift[c];
    args.output.f32()[i % pixels * channels + c] = value;
  }
}

void channels_first(const ChannelsFirstArgs& args) {
  check_args(args);
  const int64_t channels = args.output.dim(0), pixels = args.input.elements() / channels;
  for (int64_t i = 0; i < args.input.elements(); ++i) {
    args.output.f32()[i % channels * pixels + i / channels] = args.input.f32()[i];
  }
}

void frames_to_rgb8(const FramesToRgb8Args& args) {
  check_args(args);
  for (int64_t i = 0; i < args.input.elements(); ++i) {
    float x = args.input.f32()[i];
    x = x > -1.0f ? x : -1.0f;  // also NaN
    x = x < 1.0f ? x : 1.0f;
    args.output.u8()[i] = static_cast<uint8_t>((x + 1.0f) / 2.0f * 255.0f + 0.5f);
  }
}

}  // namespace engine::plain
