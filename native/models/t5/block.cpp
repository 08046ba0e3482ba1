#include "models/t5/block.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace engine {
namespace {

void run_attention(Backend& backend, const T5Config& config, const T5BlockWeights& weights,
                   int64_t batch, int64_t length, T5Workspace& workspace) {
  backend.rms_norm({.input = workspace.hidden,
                    .weight = weights.attention_norm,
                    .eps = config.layer_norm_epsilon,
                    .output = workspace.normed});
  backend.linear({.weights = weights.q.get(), .input = workspace.normed, .output = workspace.q});
  backend.linear({.weights = weights.k.get(), .input = workspace.normed, .output = workspace.k});
  backend.linear({.weights = weights.v.get(), .input = workspace.normed, .output = workspace.v});
  const Shape heads{batch, length, config.num_heads, config.d_kv};
  // T5 has no 1/sqrt(d): its initialisation takes that place.
  backend.biased_attention(
      {.query = workspace.q.view().reshaped(heads),
       .key = workspace.k.view().reshaped(heads),
       .value = workspace.v.view().reshaped(heads),
       .bias = workspace.bias,
       .key_mask = workspace.key_mask,
       .scale = 1.0f,
       .output = workspace.attended.view().reshaped({batch, length, config.inner_dim()})});
  ConstTensorView attended = workspace.attended;
  if (!workspace.attended_compute.empty()) {
    backend.convert({.input = workspace.attended, .output = workspace.attended_compute});
    attended = workspace.attended_compute;
  }
  backend.linear({.weights = weights.o.get(), .input = attended, .output = workspace.projected});
  backend.add({.a = workspace.hidden, .b = workspace.projected, .output = workspace.hidden});
}

void run_mlp(Backend& backend, const T5Config& config, const T5BlockWeights& weights,
             T5Workspace& workspace) {
  backend.rms_norm({.input = workspace.hidden,
                    .weight = weights.mlp_norm,
                    .eps = config.layer_norm_epsilon,
                    .output = workspace.normed});
  backend.linear(
      {.weights = weights.wi_0.get(), .input = workspace.normed, .output = workspace.gate});
  backend.linear(
      {.weights = weights.wi_1.get(), .input = workspace.normed, .output = workspace.value});
  backend.gated_gelu({.gate = workspace.gate, .value = workspace.value, .output = workspace.gated});
  backend.linear(
      {.weights = weights.wo.get(), .input = workspace.gated, .output = workspace.projected});
  backend.add({.a = workspace.hidden, .b = workspace.projected, .output = workspace.hidden});
}

}  // namespace

T5Workspace allocate_t5_workspace(Backend& backend, const T5Config& config, DType compute,
                                  int64_t batch, int64_t length) {
  const int64_t rows = batch * length;
  const Shape model{rows, config.d_model};
  const Shape inner{rows, config.inner_dim()};
  const Shape hidden{rows, config.d_ff};
  T5Workspace workspace;
  workspace.hidden = backend.allocate(model, DType::kF32);
  workspace.normed = backend.allocate(model, compute);
  workspace.q = backend.allocate(inner, DType::kF32);
  workspace.k = backend.allocate(inner, DType::kF32);
  workspace.v = backend.allocate(inner, DType::kF32);
  workspace.attended = backend.allocate(inner, DType::kF32);
  if (compute != DType::kF32) workspace.attended_compute = backend.allocate(inner, compute);
  workspace.projected = backend.allocate(model, DType::kF32);
  workspace.gate = backend.allocate(hidden, DType::kF32);
  workspace.value = backend.allocate(hidden, DType::kF32);
  workspace.gated = backend.allocate(hidden, compute);
  workspace.bias = backend.allocate({config.num_heads, length, length}, DType::kF32);
  workspace.key_mask = backend.allocate({batch, length}, DType::kU8);
  return workspace;
}

int64_t t5_relative_bucket(int64_t key_minus_query, int64_t buckets, int64_t max_distance) {
  const int64_t per_direction = buckets / 2;
  const int64_t direction = key_minus_query > 0 ? per_direction : 0;
  const int64_t distance = std::abs(key_minus_query);
  const int64_t exact = per_direction / 2;
  if (distance < exact) return direction + distance;
  // In float, as the reference computes it: the borders between buckets depend on the rounding.
  const float ratio =
      std::log(static_cast<float>(distance) / static_cast<float>(exact)) /
      static_cast<float>(std::log(static_cast<double>(max_distance) / static_cast<double>(exact)));
  const auto beyond = static_cast<int64_t>(ratio * static_cast<float>(per_direction - exact));
  return direction + std::min(exact + beyond, per_direction - 1);
}

Tensor t5_position_bias(ConstTensorView table, int64_t max_distance, int64_t length) {
  const int64_t buckets = table.dim(0);
  const int64_t heads = table.dim(1);
  // From the farthest key behind a query to the farthest ahead: each row of a head is a part of it.
  std::vector<int64_t> bucket_of(static_cast<size_t>(2 * length - 1));
  for (int64_t i = 0; i < 2 * length - 1; ++i) {
    bucket_of[static_cast<size_t>(i)] = t5_relative_bucket(i - (length - 1), buckets, max_distance);
  }
  Tensor bias({heads, length, length}, DType::kF32);
  float* out = bias.f32();
  std::vector<float> of_head(bucket_of.size());
  for (int64_t head = 0; head < heads; ++head) {
    for (size_t i = 0; i < of_head.size(); ++i) {
      of_head[i] = table.f32()[bucket_of[i] * heads + head];
    }
    for (int64_t query = 0; query < length; ++query) {
      out = std::copy_n(of_head.begin() + (length - 1 - query), length, out);
    }
  }
  return bias;
}

void run_t5_block(Backend& backend, const T5Config& config, const T5BlockWeights& weights,
                  int64_t batch, int64_t length, T5Workspace& workspace) {
  run_attention(backend, config, weights, batch, length, workspace);
  run_mlp(backend, config, weights, workspace);
}

}  // namespace engine
