#include "models/transformer/weights.h"

#include <cstring>

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
  const ConstTensorView weight = source_.get_float(name + ".weight", {out, in});
  return backend_.pack_linear(weight, source_.get_float(name + ".bias", {out}), compute);
}

std::unique_ptr<LinearWeights> WeightLoader::stacked(const std::vector<std::string>& names,
                                                     int64_t in, int64_t out, DType compute) const {
  const auto count = static_cast<int64_t>(names.size());
  Tensor weight({count * out, in}, DType::kF32), bias({count * out}, DType::kF32);
  for (int64_t i = 0; i < count; ++i) {
    const std::string& name = names[static_cast<size_t>(i)];
    const Tensor rows = host(name + ".weight", {out, in}), values = host(name + ".bias", {out});
    std::memcpy(weight.f32() + i * out * in, rows.f32(), rows.bytes());
    std::memcpy(bias.f32() + i * out, values.f32(), values.bytes());
  }
  return backend_.pack_linear(weight, bias, compute);
}

std::unique_ptr<LinearWeights> WeightLoader::patch_convolution(const std::string& name,
                                                               const Shape& weight) const {
  const ConstTensorView kernel = source_.get_float(name + ".weight", weight);
  const int64_t out = weight[0];
  return backend_.pack_linear(kernel.reshaped({out, weight.elements() / out}),
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
  const Tensor values = host(name, shape);
  Tensor copy = backend_.allocate(shape, DType::kF32);
  backend_.upload(values, copy);
  return copy;
}

}  // namespace engine
