#include "models/video_vae/weights.h"

#include "engine/error.h"

namespace engine {
namespace {

Shape conv_weight_shape(const VaeLayer& layer) {
  const auto& kernel = layer.kernel;
  if (layer.flat) return {layer.out, layer.in, kernel[1], kernel[2]};
  return {layer.out, layer.in, kernel[0], kernel[1], kernel[2]};
}

void divide(TensorView weight, double divisor) {
  if (divisor == 1.0) return;
  for (int64_t i = 0; i < weight.elements(); ++i) {
    weight.f32()[i] = static_cast<float>(weight.f32()[i] / divisor);
  }
}

std::unique_ptr<ConvWeights> load_conv(Backend& backend, const Checkpoint& checkpoint,
                                       const VaeLayer& layer, DType compute) {
  const ConstTensorView source =
      checkpoint.get_float(layer.name + ".weight", conv_weight_shape(layer));
  ConstTensorView bias_source;
  if (layer.has_bias) {
    bias_source = checkpoint.get_float(layer.name + ".bias", Shape{layer.out});
  }
  const Tensor weight(source.shape(), DType::kF32);
  const Tensor bias = layer.has_bias ? Tensor({layer.out}, DType::kF32) : Tensor();
  if (!backend.packed_before()) {
    convert_to_f32(source, weight);
    if (layer.has_bias) convert_to_f32(bias_source, bias);
    divide(weight, layer.input_divisor);
    checkpoint.give_back(source);
  }
  return backend.pack_conv(weight, bias, layer.geometry, compute);
}

void load_norm(Backend& backend, const Checkpoint& checkpoint, const std::string& name,
               int64_t channels, VaeLayerWeights& weights) {
  const auto vector = [&](const char* part) {
    return backend.pack_tensor(checkpoint.get_float(name + part, Shape{channels}), DType::kF32);
  };
  weights.norm_weight = vector(".weight");
  weights.norm_bias = vector(".bias");
}

struct LinearTensors {
  ConstTensorView weight, bias;
};

// A linear layer of the attention under its name of today or the one of older diffusers.
LinearTensors find_linear(const Checkpoint& checkpoint, const VaeLayer& layer, const char* name,
                          const char* older_name) {
  std::string prefix = layer.name + "." + older_name;
  if (checkpoint.find(prefix + ".weight").empty()) prefix = layer.name + "." + name;
  return {checkpoint.get_float(prefix + ".weight", Shape{layer.out, layer.in}),
          checkpoint.get_float(prefix + ".bias", Shape{layer.out})};
}

void load_attention(Backend& backend, const Checkpoint& checkpoint, const VaeLayer& layer,
                    DType compute, VaeLayerWeights& weights) {
  const auto linear = [&](const char* name, const char* older_name) {
    const LinearTensors found = find_linear(checkpoint, layer, name, older_name);
    auto packed = backend.pack_linear(found.weight, found.bias, compute);
    checkpoint.give_back(found.weight);
    return packed;
  };
  weights.query = linear("to_q", "query");
  weights.key = linear("to_k", "key");
  weights.value = linear("to_v", "value");
  const LinearTensors found = find_linear(checkpoint, layer, "to_out.0", "proj_attn");
  const Tensor weight({layer.out, layer.in, 1, 1}, DType::kF32), bias({layer.out}, DType::kF32);
  if (!backend.packed_before()) {
    convert_to_f32(found.weight, weight.view().reshaped({layer.out, layer.in}));
    convert_to_f32(found.bias, bias);
    checkpoint.give_back(found.weight);
  }
  weights.conv = backend.pack_conv(weight, bias, layer.geometry, compute);
}

VaeLayerWeights load_layer(Backend& backend, const Checkpoint& checkpoint, const VaeLayer& layer,
                           DType compute) {
  VaeLayerWeights weights;
  switch (layer.kind) {
    case VaeLayerKind::kConv:
      if (!layer.norm.empty()) load_norm(backend, checkpoint, layer.norm, layer.in, weights);
      weights.conv = load_conv(backend, checkpoint, layer, compute);
      break;
    case VaeLayerKind::kGroupNorm:
      load_norm(backend, checkpoint, layer.name, layer.in, weights);
      break;
    case VaeLayerKind::kAttention:
      load_attention(backend, checkpoint, layer, compute, weights);
      break;
    case VaeLayerKind::kChannelsToTime:
      break;
  }
  return weights;
}

}  // namespace

std::vector<VaeLayerWeights> load_vae_weights(Backend& backend, const Checkpoint& checkpoint,
                                              const VaeNetwork& network) {
  std::vector<VaeLayerWeights> weights;
  weights.reserve(network.layers.size());
  for (const VaeLayer& layer : network.layers) {
    weights.push_back(load_layer(backend, checkpoint, layer, network.compute_of(layer)));
  }
  return weights;
}

std::vector<float> load_channel_values(const Checkpoint& checkpoint, const std::string& name,
                                       const std::vector<float>& fallback) {
  const ConstTensorView found = checkpoint.find(name);
  if (found.empty()) return fallback;
  if (found.elements() != static_cast<int64_t>(fallback.size()) || !dtype_is_float(found.dtype())) {
    throw Error(ErrorCode::kInvalidCheckpoint, checkpoint.location().string() + ": " + name +
                                                   " has shape " + found.shape().to_string() +
                                                   ", expected " + std::to_string(fallback.size()) +
                                                   " values");
  }
  const Tensor values = to_f32(found);
  return {values.f32(), values.f32() + values.elements()};
}

}  // namespace engine
