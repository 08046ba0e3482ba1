#include "models/transformer/weights.h"

namespace engine {

void embed_value(Backend& backend, const SinusoidEmbedder& embedder, std::span<const float> values,
                 const SinusoidBuffers& buffers, TensorView output) {
  const ConstTensorView host(values.data(), DType::kF32, {static_cast<int64_t>(values.size())});
  backend.upload(host, buffers.values);
  backend.timestep_embedding({.values = buffers.values, .output = buffers.sinusoid});
  backend.linear({.weights = embedder.linear0.get(),
                  .input = buffers.sinusoid,
                  .output = buffers.hidden,
                  .activation = Activation::kSilu});
  backend.linear({.weights = embedder.linear2.get(), .input = buffers.hidden, .output = output});
}

uint64_t linear_bytes(int64_t in, int64_t out, DType compute) {
  return static_cast<uint64_t>(in * out) * dtype_bytes(compute) +
         static_cast<uint64_t>(out) * sizeof(float);
}

std::unique_ptr<LinearWeights> WeightLoader::linear(const std::string& name, int64_t in,
                                                    int64_t out, DType compute) const {
  // The order of a call's arguments is the compiler's, and the error names what is missing first.
  const ConstTensorView weight = source_.get_float(name + ".weight", {out, in});
  return packed(weight, source_.get_float(name + ".bias", {out}), compute);
}

std::unique_ptr<LinearWeights> WeightLoader::stacked(const std::vector<std::string>& names,
                                                     int64_t in, int64_t out, DType compute) const {
  const auto count = static_cast<int64_t>(names.size());
  Tensor weight({count * out, in}, DType::kF32), bias({count * out}, DType::kF32);
  for (int64_t i = 0; i < count; ++i) {
    const std::string& name = names[static_cast<size_t>(i)];
    const ConstTensorView rows = source_.get_float(name + ".weight", {out, in});
    const ConstTensorView values = source_.get_float(name + ".bias", {out});
    if (backend_.packed_before()) continue;
    convert_to_f32(rows, weight.view().rows(i * out, out));
    convert_to_f32(values, bias.view().rows(i * out, out));
    source_.give_back(rows);
  }
  return backend_.pack_linear(weight, bias, compute);
}

std::unique_ptr<LinearWeights> WeightLoader::patch_convolution(const std::string& name,
                                                               const Shape& weight) const {
  const ConstTensorView kernel = source_.get_float(name + ".weight", weight);
  const int64_t out = weight[0];
  return packed(kernel.reshaped({out, weight.elements() / out}),
                source_.get_float(name + ".bias", {out}), DType::kF32);
}

SinusoidEmbedder WeightLoader::sinusoid_embedder(const std::string& linear0,
                                                 const std::string& linear2, int64_t hidden) const {
  return {.linear0 = linear(linear0, kSinusoidWidth, hidden, DType::kF32),
          .linear2 = linear(linear2, hidden, hidden, DType::kF32)};
}

Tensor WeightLoader::host(const std::string& name, const Shape& shape) const {
  return to_f32(source_.get_float(name, shape));
}

Tensor WeightLoader::device(const std::string& name, const Shape& shape) const {
  return backend_.pack_tensor(source_.get_float(name, shape), DType::kF32);
}

std::unique_ptr<LinearWeights> WeightLoader::packed(ConstTensorView weight, ConstTensorView bias,
                                                    DType compute) const {
  auto linear = backend_.pack_linear(weight, bias, compute);
  source_.give_back(weight);
  return linear;
}

}  // namespace engine
