#include "models/transformer/joint_trunk.h"

#include "core/check.h"
#include "engine/error.h"

namespace engine {

namespace {

GuidanceShape guidance_shape(const JointConfig& config, const JointShape& shape) {
  return {.clips = shape.clips,
          .rows = shape.rows(),
          .channels = config.in_channels,
          .frames = 1,
          .height = shape.latent_height,
          .width = shape.latent_width};
}

}  // namespace

JointTrunk::JointTrunk(Backend& backend, const JointWeights& weights, const JointShape& shape,
                       const CachePolicy& policy, const JointBuffers& buffers,
                       ConstTensorView position)
    : backend_(backend),
      weights_(weights),
      shape_(shape),
      grid_(token_grid(weights.config, shape)),
      space_(buffers),
      trunk_(backend,
             {.sizes = weights.config.sizes,
              .grid = grid_,
              .rows = shape.rows(),
              .clips = shape.clips,
              .text_tokens_nominal = shape.text_tokens_nominal,
              .ranks_residual = true},
             buffers.blocks, policy, joint_store_shape(weights.config, shape, policy)),
      guidance_(backend, policy, guidance_shape(weights.config, shape)) {
  check(shape.clips > 0 && shape.latent_height > 0 && shape.latent_width > 0,
        "every size of a shape must be positive");
  const bool pairs = policy.needs().scores && policy.score_settings().score == TokenScore::kEntropy;
  if (pairs && !shape.guided) {
    throw Error(ErrorCode::kInvalidArgument,
                "a policy that ranks tokens by the entropy of text attention needs guidance: both "
                "halves share one ranking");
  }
  backend_.upload(position, space_.position);
}

uint64_t JointTrunk::cache_bytes(const JointConfig& config, const JointShape& shape,
                                 const CachePolicy& policy) {
  return Trunk::cache_bytes(joint_store_shape(config, shape, policy)) +
         GuidanceCache::bytes_of(policy, guidance_shape(config, shape));
}

ConstTensorView JointTrunk::step(const JointStep& step, const StepHooks& hooks) {
  check((step.text != nullptr) == weights_.config.cross_attention,
        "text is needed where there is cross-attention, and nowhere else");
  rows_ = guidance_.rows(step.step);
  embed_latent(step.latent, hooks.tap);
  run_blocks(step, hooks);
  final_layer(step, hooks.tap);
  guidance_.complete(step.step, space_.output);
  return space_.output;
}

void JointTrunk::embed_latent(ConstTensorView latent, const TensorTap& tap) {
  const JointConfig& config = weights_.config;
  const int64_t rows = rows_, tokens = grid_.tokens();
  const TensorView patches = space_.patches.rows(0, rows), x = space_.blocks.x.rows(0, rows);
  for (int64_t first = 0; first < rows; first += shape_.clips) {
    backend_.patchify({.latent = latent,
                       .patch = {1, config.patch, config.patch},
                       .output = patches.rows(first, shape_.clips)});
  }
  backend_.linear({.weights = weights_.x_embedder.get(),
                   .input = patches.reshaped({rows * tokens, patches.dim(2)}),
                   .output = x.reshaped({rows * tokens, config.sizes.hidden})});
  backend_.add_rows({.output = x, .table = space_.position});
  if (tap) tap("x_in", x);
}

void JointTrunk::run_blocks(const JointStep& step, const StepHooks& hooks) {
  const BlockSizes& sizes = weights_.config.sizes;
  const Shape vectors{shape_.rows(), 6 * sizes.hidden};
  const auto describe = [&](int index) {
    BlockInput block{
        .layer = index,
        .kind = BlockKind::kJoint,
        .weights = &weights_.blocks[static_cast<size_t>(index)],
        .noisy = block_vectors(space_.vectors.rows(index, 1).reshaped(vectors), sizes.hidden),
        .clean = {},
        .key_value = {}};
    if (step.text != nullptr) {
      const ConstTensorView all = step.text->key_value;
      block.key_value = all.rows(index, 1).reshaped({all.dim(1), 2, sizes.heads, sizes.head_dim()});
    }
    return block;
  };
  BlockStep blocks{.step = step.step, .rows = rows_};
  if (step.text != nullptr) blocks.text_offsets = step.text->offsets_of(rows_);
  trunk_.run(blocks, std::ref(describe), hooks);  // by reference: a copy would be allocated
}

void JointTrunk::final_layer(const JointStep& step, const TensorTap& tap) {
  const int64_t hidden = weights_.config.sizes.hidden;
  const int64_t tokens = rows_ * grid_.tokens();
  const TensorView scratch = space_.blocks.scratch.rows(0, rows_);
  const TensorView final_tokens = space_.final_tokens.rows(0, rows_);
  LayerNormModulateArgs norm;
  norm.input = space_.blocks.x.rows(0, rows_);
  norm.shift = step.shift;
  norm.scale = step.scale;
  norm.output = scratch;
  backend_.layer_norm_modulate(norm);
  backend_.linear({.weights = weights_.final_linear.get(),
                   .input = scratch.reshaped({tokens, hidden}),
                   .output = final_tokens.reshaped({tokens, final_tokens.dim(2)})});
  if (tap) tap("final_tokens", final_tokens);
  backend_.unpatchify({.tokens = final_tokens,
                       .patch = {1, weights_.config.patch, weights_.config.patch},
                       .output = space_.output.rows(0, rows_)});
}

}  // namespace engine
