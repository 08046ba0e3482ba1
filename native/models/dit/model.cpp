#include "models/dit/model.h"

#include "core/check.h"
#include "engine/error.h"

namespace engine {

namespace {

DitConditioning lay_out_conditioning(const DitConfig& config, const JointShape& shape,
                                     DType compute, const TakeBuffer& take) {
  const int64_t rows = shape.rows(), hidden = config.joint.sizes.hidden;
  DitConditioning space;
  space.time = {.values = take({rows}, DType::kF32),
                .sinusoid = take({rows, kSinusoidWidth}, DType::kF32),
                .hidden = take({rows, hidden}, DType::kF32)};
  space.label_ids = take({rows}, DType::kI32);
  space.labels = take({rows, hidden}, DType::kF32);
  space.embedding = take({rows, hidden}, DType::kF32);
  space.activated = take({rows, hidden}, DType::kF32);
  if (compute != DType::kF32) space.activated_fast = take({rows, hidden}, compute);
  space.final = take({rows, 2 * hidden}, DType::kF32);
  return space;
}

uint64_t workspace_bytes(const DitConfig& config, const JointShape& shape, DType compute,
                         const CachePolicy& policy) {
  return buffer_bytes([&](const TakeBuffer& take) {
    lay_out_conditioning(config, shape, compute, take);
    lay_out_joint(config.joint, shape, compute, policy, take);
  });
}

void check_shape(const DitConfig& config, const JointShape& shape) {
  const int64_t side = config.joint.input_size;
  if (shape.latent_height != side || shape.latent_width != side) {
    throw Error(ErrorCode::kInvalidArgument,
                "the model was made for latents of " + std::to_string(side) + " x " +
                    std::to_string(side) + ", not " + std::to_string(shape.latent_height) + " x " +
                    std::to_string(shape.latent_width));
  }
  if (shape.guided && !config.null_class) {
    throw Error(ErrorCode::kInvalidArgument,
                "the model has no null class (class_dropout_prob 0), so it takes no guidance");
  }
}

}  // namespace

Dit::Dit(Backend& backend, const DitWeights& weights, const JointShape& shape,
         const CachePolicy& policy)
    : backend_(backend),
      weights_(weights),
      shape_(shape),
      arena_([&] {
        check_shape(weights.config, shape);
        const uint64_t bytes =
            workspace_bytes(weights.config, shape, weights.joint.compute, policy);
        return Arena(backend.allocate({static_cast<int64_t>(bytes)}, DType::kU8));
      }()),
      conditioning_(lay_out_conditioning(
          weights.config, shape, weights.joint.compute,
          [this](const Shape& each, DType dtype) { return arena_.take(each, dtype); })),
      buffers_(lay_out_joint(
          weights.config.joint, shape, weights.joint.compute, policy,
          [this](const Shape& each, DType dtype) { return arena_.take(each, dtype); })),
      trunk_(backend, weights.joint, shape, policy, buffers_,
             weights.position.view().reshaped(
                 {weights.position.elements() / weights.config.joint.sizes.hidden,
                  weights.config.joint.sizes.hidden})),
      row_times_(static_cast<size_t>(shape.rows()), 0.0f) {}

JointMemory Dit::memory(const DitConfig& config, const JointShape& shape, DType compute,
                        const CachePolicy& policy) {
  return {.workspace_bytes = workspace_bytes(config, shape, compute, policy),
          .cache_bytes = JointTrunk::cache_bytes(config.joint, shape, policy)};
}

void Dit::condition(std::span<const int32_t> labels) {
  const int64_t classes = weights_.config.classes;
  check(static_cast<int64_t>(labels.size()) == shape_.clips, "a label for each clip");
  Tensor ids({shape_.rows()}, DType::kI32);
  for (int64_t row = 0; row < shape_.rows(); ++row) {
    const bool null = row >= shape_.clips;
    const int32_t label = null ? static_cast<int32_t>(classes) : labels[static_cast<size_t>(row)];
    if (!null && (label < 0 || label >= classes)) {
      throw Error(ErrorCode::kInvalidArgument, "class " + std::to_string(label) +
                                                   " is not one of the model's, 0 to " +
                                                   std::to_string(classes - 1));
    }
    ids.view().i32()[row] = label;
  }
  backend_.upload(ids, conditioning_.label_ids);
  backend_.token_embedding({.ids = conditioning_.label_ids,
                            .table = weights_.label_table,
                            .output = conditioning_.labels});
  trunk_.begin_clip();
  conditioned_ = true;
}

void Dit::modulation_vectors(std::span<const float> timesteps) {
  const DitConditioning& space = conditioning_;
  for (size_t row = 0; row < row_times_.size(); ++row) {
    row_times_[row] = timesteps[row % timesteps.size()];
  }
  embed_value(backend_, weights_.t_embedder, row_times_, space.time, space.embedding);
  backend_.add({.a = space.embedding, .b = space.labels, .output = space.embedding});
  backend_.activate(
      {.input = space.embedding, .activation = Activation::kSilu, .output = space.activated});
  ConstTensorView fast = space.activated;
  if (!space.activated_fast.empty()) {
    backend_.convert({.input = space.activated, .output = space.activated_fast});
    fast = space.activated_fast;
  }
  const Shape vectors{shape_.rows(), buffers_.vectors.dim(2)};
  for (size_t i = 0; i < weights_.block_modulation.size(); ++i) {
    backend_.linear(
        {.weights = weights_.block_modulation[i].get(),
         .input = fast,
         .output = buffers_.vectors.rows(static_cast<int64_t>(i), 1).reshaped(vectors)});
  }
  backend_.linear({.weights = weights_.final_modulation.get(),
                   .input = space.activated,
                   .output = space.final});
}

ConstTensorView Dit::step(const DitStep& step, const StepHooks& hooks) {
  check(conditioned_, "condition() comes before the first step");
  check(static_cast<int64_t>(step.timesteps.size()) == shape_.clips, "a time for each clip");
  modulation_vectors(step.timesteps);
  const int64_t hidden = weights_.config.joint.sizes.hidden;
  const float* const final = conditioning_.final.f32();
  return trunk_.step({.step = step.step,
                      .latent = step.latent,
                      .shift = {final, 2 * hidden},
                      .scale = {final + hidden, 2 * hidden}},
                     hooks);
}

}  // namespace engine
