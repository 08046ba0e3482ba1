#include "models/stdit3/model.h"

#include <algorithm>
#include <cstring>
#include <functional>

#include "core/check.h"
#include "engine/error.h"

namespace engine {

namespace {

WorkspaceShape workspace_shape(const STDiT3Shape& shape, DType compute, const CachePolicy& policy) {
  const TokenScore score = policy.score_settings().score;
  const bool scores_input =
      policy.needs().scores && (score == TokenScore::kNorm || score == TokenScore::kSimilarity);
  return {.rows = shape.rows(),
          .latent_frames = shape.latent_frames,
          .latent_height = shape.latent_height,
          .latent_width = shape.latent_width,
          .compute = compute,
          .own_feature = !policy.needs().features || policy.kept_needs().refreshes_apart(),
          .needs_modulated = scores_input || policy.upstream_fidelity()};
}

FeatureStoreShape store_shape(const STDiT3Config& config, const STDiT3Shape& shape,
                              const CachePolicy& policy) {
  const TokenGrid grid =
      token_grid(config, shape.latent_frames, shape.latent_height, shape.latent_width);
  return {.depth = config.depth,
          .temporal_blocks = true,
          .rows = shape.rows(),
          .tokens = grid.tokens(),
          .channels = config.hidden,
          .needs = policy.kept_needs(),
          .score = policy.score_settings().score};
}

BlockBuffers block_buffers(const Workspace& space) {
  return {.x = space.x,
          .scratch = space.scratch,
          .h = space.h,
          .wide = space.wide,
          .feature = space.feature,
          .modulated = space.modulated,
          .scores = space.scores,
          .indices = space.indices,
          .rope_cos = space.rope_cos,
          .rope_sin = space.rope_sin};
}

GuidanceShape guidance_shape(const STDiT3Config& config, const STDiT3Shape& shape) {
  return {.clips = shape.clips,
          .rows = shape.rows(),
          .channels = config.in_channels,
          .frames = shape.latent_frames,
          .height = shape.latent_height,
          .width = shape.latent_width};
}

void check_shape(const STDiT3Shape& shape, const CachePolicy& policy) {
  check(shape.clips > 0 && shape.latent_frames > 0 && shape.latent_height > 0 &&
            shape.latent_width > 0 && shape.pixel_height > 0 && shape.pixel_width > 0,
        "every size of a shape must be positive");
  const bool pairs = policy.needs().scores && policy.score_settings().score == TokenScore::kEntropy;
  if (!shape.guided && pairs) {
    throw Error(ErrorCode::kInvalidArgument,
                "a policy that ranks tokens by the entropy of text attention needs guidance: both "
                "halves share one ranking");
  }
}

}  // namespace

STDiT3::STDiT3(Backend& backend, const STDiT3Weights& weights, const STDiT3Shape& shape,
               const CachePolicy& policy)
    : backend_(backend),
      weights_(weights),
      shape_(shape),
      grid_(
          token_grid(weights.config, shape.latent_frames, shape.latent_height, shape.latent_width)),
      arena_([&] {
        check_shape(shape, policy);
        const uint64_t bytes =
            workspace_bytes(weights.config, workspace_shape(shape, weights.compute, policy));
        return Arena(backend.allocate({static_cast<int64_t>(bytes)}, DType::kU8));
      }()),
      space_(lay_out_workspace(weights.config, workspace_shape(shape, weights.compute, policy),
                               arena_)),
      trunk_(backend,
             {.sizes = weights.config.block_sizes(),
              .grid = grid_,
              .rows = shape.rows(),
              .clips = shape.clips,
              .text_tokens_nominal = shape.text_tokens_nominal},
             block_buffers(space_), policy, store_shape(weights.config, shape, policy)),
      guidance_(backend, policy, guidance_shape(weights.config, shape)),
      frame_mask_host_({shape.rows(), grid_.frames}, DType::kU8),
      clean_indices_host_({shape.rows(), grid_.tokens()}, DType::kI32),
      clean_counts_(static_cast<size_t>(shape.rows()), 0),
      row_values_(static_cast<size_t>(shape.rows()), 0.0f) {
  upload_constants();
}

STDiT3::Memory STDiT3::memory(const STDiT3Config& config, const STDiT3Shape& shape, DType compute,
                              const CachePolicy& policy) {
  return {.workspace_bytes = workspace_bytes(config, workspace_shape(shape, compute, policy)),
          .cache_bytes = Trunk::cache_bytes(store_shape(config, shape, policy)) +
                         GuidanceCache::bytes_of(policy, guidance_shape(config, shape))};
}

void STDiT3::upload_constants() {
  const STDiT3Config& config = weights_.config;
  backend_.upload(position_table(config, grid_, shape_.pixel_height, shape_.pixel_width),
                  space_.position);
  const RotationTables rotation = rotation_tables(weights_.rope_frequencies, grid_.frames);
  backend_.upload(rotation.cos, space_.rope_cos);
  backend_.upload(rotation.sin, space_.rope_sin);
  // Every row of the batch adds the same table to its own time vector.
  const auto repeat = [&](const Tensor& table, int64_t width, TensorView target) {
    Tensor repeated(target.shape(), DType::kF32);
    for (int64_t i = 0; i < target.dim(0) * shape_.rows(); ++i) {
      std::memcpy(repeated.f32() + i * width, table.f32() + i / shape_.rows() * width,
                  static_cast<size_t>(width) * sizeof(float));
    }
    backend_.upload(repeated, target);
  };
  repeat(weights_.block_tables, 6 * config.hidden, space_.block_tables);
  repeat(weights_.final_table, config.hidden, space_.final_tables);
}

void STDiT3::condition(const STDiT3Text& text, std::span<const float> fps, const TensorTap& tap) {
  check(text.rows() == shape_.rows(), "the text does not have the batch's rows");
  check(static_cast<int64_t>(fps.size()) == shape_.clips, "fps needs one value for each clip");
  text_ = &text;
  clean_vectors_ready_ = false;
  trunk_.begin_clip();
  guidance_.begin_clip();
  for (size_t row = 0; row < row_values_.size(); ++row) row_values_[row] = fps[row % fps.size()];
  embed_value(backend_, weights_.fps_embedder, row_values_, space_.noisy, space_.fps);
  if (tap) tap("fps_emb", space_.fps);
}

ConstTensorView STDiT3::step(const STDiT3Step& step, const StepHooks& hooks) {
  check(text_ != nullptr, "condition() comes before the first step");
  check(static_cast<int64_t>(step.timesteps.size()) == shape_.clips,
        "a step needs one time for each clip");
  const auto& times = step.timesteps;
  for (size_t row = 0; row < row_values_.size(); ++row)
    row_values_[row] = times[row % times.size()];
  modulation_vectors(backend_, weights_, space_, row_values_, space_.noisy);
  rows_ = guidance_.rows(step.step);
  const FrameMask frames = frame_mask(step.x_mask);
  if (hooks.tap) {
    hooks.tap("t_emb", space_.noisy.embedding);
    hooks.tap("t_mlp", space_.noisy.projected);
    if (!frames.noisy.empty()) {
      hooks.tap("t0_emb", space_.clean.embedding);
      hooks.tap("t0_mlp", space_.clean.projected);
    }
  }
  embed_latent(step.latent, hooks.tap);
  run_blocks(step, frames, hooks);
  final_layer(frames, hooks.tap);
  guidance_.complete(step.step, space_.output);
  return space_.output;
}

FrameMask STDiT3::frame_mask(ConstTensorView x_mask) {
  if (x_mask.empty()) return {};
  check(x_mask.dtype() == DType::kU8 && x_mask.shape() == Shape{shape_.clips, grid_.frames},
        "x_mask is [clips, T], u8, for a model with one latent frame to a patch");
  const int64_t spatial = grid_.tokens_per_frame();
  bool any_clean = false;
  for (int64_t row = 0; row < shape_.rows(); ++row) {
    const uint8_t* const noisy = x_mask.u8() + row % shape_.clips * grid_.frames;
    int32_t* const indices = clean_indices_host_.view().i32() + row * grid_.tokens();
    int64_t count = 0;
    for (int64_t t = 0; t < grid_.frames; ++t) {
      frame_mask_host_.view().u8()[row * grid_.frames + t] = noisy[t] != 0;
      for (int64_t s = 0; s < spatial && noisy[t] == 0; ++s) {
        indices[count++] = static_cast<int32_t>(t * spatial + s);
      }
    }
    std::fill(indices + count, indices + grid_.tokens(), 0);
    clean_counts_[static_cast<size_t>(row)] = count;
    any_clean = any_clean || count > 0;
  }
  if (!any_clean) return {};
  backend_.upload(frame_mask_host_, space_.frame_mask);
  backend_.upload(clean_indices_host_, space_.clean_indices);
  if (!clean_vectors_ready_) {
    std::fill(row_values_.begin(), row_values_.end(), 0.0f);
    modulation_vectors(backend_, weights_, space_, row_values_, space_.clean);
    clean_vectors_ready_ = true;
  }
  return {.noisy = space_.frame_mask.rows(0, rows_), .tokens_per_frame = spatial};
}

void STDiT3::embed_latent(ConstTensorView latent, const TensorTap& tap) {
  const STDiT3Config& config = weights_.config;
  const int64_t rows = rows_, tokens = grid_.tokens();
  const TensorView patches = space_.patches.rows(0, rows), x = space_.x.rows(0, rows);
  for (int64_t first = 0; first < rows; first += shape_.clips) {
    backend_.patchify(
        {.latent = latent, .patch = config.patch, .output = patches.rows(first, shape_.clips)});
  }
  backend_.linear({.weights = weights_.x_embedder.get(),
                   .input = patches.reshaped({rows * tokens, patches.dim(2)}),
                   .output = x.reshaped({rows * tokens, config.hidden})});
  if (tap) tap("x_embedder", x);
  backend_.add_rows(
      {.output = x.reshaped({rows * grid_.frames, grid_.tokens_per_frame(), config.hidden}),
       .table = space_.position});
  if (tap) tap("pos_emb", space_.position);
  if (tap) tap("x_in", x);
}

void STDiT3::run_blocks(const STDiT3Step& step, const FrameMask& frames, const StepHooks& hooks) {
  const STDiT3Config& config = weights_.config;
  const int64_t text_tokens = text_->key_value.dim(1);
  const Shape key_value{text_tokens, 2, config.heads, config.head_dim()};
  const Shape vectors{shape_.rows(), 6 * config.hidden};
  const auto vectors_of = [&](const TimeBuffers& time, int index) {
    return block_vectors(time.blocks.rows(index, 1).reshaped(vectors), config.hidden);
  };
  const auto describe = [&](int index) {
    return BlockInput{.layer = index / 2,
                      .kind = index % 2 == 0 ? BlockKind::kSpatial : BlockKind::kTemporal,
                      .weights = &weights_.blocks[static_cast<size_t>(index)],
                      .noisy = vectors_of(space_.noisy, index),
                      .clean = vectors_of(space_.clean, index),
                      .key_value = text_->key_value.view().rows(index, 1).reshaped(key_value)};
  };
  trunk_.run({.step = step.step,
              .rows = rows_,
              .frames = frames,
              .text_offsets = text_->offsets_of(rows_)},
             std::ref(describe), hooks);  // by reference: a copy would be allocated
}

void STDiT3::final_layer(const FrameMask& frames, const TensorTap& tap) {
  const STDiT3Config& config = weights_.config;
  const TensorView vectors = space_.noisy.final;  // [2, rows, hidden]: shift, then scale
  LayerNormModulateArgs norm;
  const TensorView scratch = space_.scratch.rows(0, rows_);
  const TensorView final_tokens = space_.final_tokens.rows(0, rows_);
  norm.input = space_.x.rows(0, rows_);
  norm.shift = {vectors.rows(0, 1).f32(), config.hidden};
  norm.scale = {vectors.rows(1, 1).f32(), config.hidden};
  norm.output = scratch;
  backend_.layer_norm_modulate(norm);
  if (!frames.noisy.empty()) renormalise_clean_tokens();
  const int64_t tokens = rows_ * grid_.tokens();
  backend_.linear({.weights = weights_.final_linear.get(),
                   .input = scratch.reshaped({tokens, config.hidden}),
                   .output = final_tokens.reshaped({tokens, final_tokens.dim(2)})});
  if (tap) tap("final_tokens", final_tokens);
  backend_.unpatchify(
      {.tokens = final_tokens, .patch = config.patch, .output = space_.output.rows(0, rows_)});
}

// The model was published and trained with clean frames normalised and modulated twice: as at the
// current time, then as at time 0.
void STDiT3::renormalise_clean_tokens() {
  const int64_t hidden = weights_.config.hidden;
  const TensorView vectors = space_.clean.final;
  for (int64_t row = 0; row < rows_; ++row) {
    const int64_t count = clean_counts_[static_cast<size_t>(row)];
    if (count == 0) continue;
    const TensorView indices(space_.clean_indices.rows(row, 1).data(), DType::kI32, {1, count});
    const TensorView renormalised(space_.x.data(), DType::kF32, {1, count, hidden});
    LayerNormModulateArgs norm;
    norm.input = space_.scratch.rows(row, 1);
    norm.indices = indices;
    norm.shift = {vectors.rows(0, 1).f32() + row * hidden, hidden};
    norm.scale = {vectors.rows(1, 1).f32() + row * hidden, hidden};
    norm.output = renormalised;
    backend_.layer_norm_modulate(norm);
    backend_.scatter_rows(
        {.input = renormalised, .indices = indices, .output = space_.scratch.rows(row, 1)});
  }
}

}  // namespace engine
