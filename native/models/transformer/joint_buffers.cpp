#include "models/transformer/joint_buffers.h"

#include <algorithm>

#include "core/arena.h"

namespace engine {

TokenGrid token_grid(const JointConfig& config, const JointShape& shape) {
  const auto patches = [&](int64_t size) { return (size + config.patch - 1) / config.patch; };
  return {
      .frames = 1, .height = patches(shape.latent_height), .width = patches(shape.latent_width)};
}

JointBuffers lay_out_joint(const JointConfig& config, const JointShape& shape, DType compute,
                           const CachePolicy& policy, const TakeBuffer& take) {
  const int64_t rows = shape.rows(), tokens = token_grid(config, shape).tokens();
  const int64_t hidden = config.sizes.hidden;
  JointBuffers buffers;
  const auto shared = [&](TensorView& first, int64_t second_width, TensorView& second) {
    const TensorView both = take({rows, tokens, std::max(hidden, second_width)}, DType::kF32);
    first = {both.data(), DType::kF32, {rows, tokens, hidden}};
    second = {both.data(), DType::kF32, {rows, tokens, second_width}};
  };
  BlockBuffers& blocks = buffers.blocks;
  shared(blocks.x, config.out_channels * config.patch_volume(), buffers.final_tokens);
  shared(blocks.scratch, config.in_channels * config.patch_volume(), buffers.patches);
  blocks.h = take({rows, tokens, hidden}, compute);
  blocks.wide = take({rows, tokens, std::max(3 * hidden, config.sizes.mlp_hidden)}, compute);
  const CacheNeeds needs = policy.kept_needs();
  if (!needs.features || needs.refreshes_apart()) {
    blocks.feature = take({rows, tokens, hidden}, DType::kF32);
  }
  blocks.scores = take({rows, tokens}, DType::kF32);
  blocks.indices = take({rows, tokens}, DType::kI32);
  buffers.output =
      take({rows, config.out_channels, 1, shape.latent_height, shape.latent_width}, DType::kF32);
  buffers.position = take({tokens, hidden}, DType::kF32);
  buffers.vectors = take({config.depth, rows, 6 * hidden}, DType::kF32);
  return buffers;
}

FeatureStoreShape joint_store_shape(const JointConfig& config, const JointShape& shape,
                                    const CachePolicy& policy) {
  return {.depth = config.depth,
          .temporal_blocks = false,
          .cross_attention = config.cross_attention,
          .rows = shape.rows(),
          .tokens = token_grid(config, shape).tokens(),
          .channels = config.sizes.hidden,
          .needs = policy.kept_needs(),
          .score = policy.score_settings().score};
}

uint64_t buffer_bytes(const std::function<void(const TakeBuffer&)>& lay_out) {
  uint64_t total = 0;
  lay_out([&total](const Shape& shape, DType dtype) {
    total += Arena::bytes_of(shape, dtype);
    return TensorView();
  });
  return total;
}

}  // namespace engine
