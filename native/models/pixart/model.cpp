#include "models/pixart/model.h"

#include <array>
#include <cstring>

#include "core/check.h"
#include "engine/error.h"
#include "models/transformer/position_table.h"

namespace engine {

namespace {

PixartConditioning lay_out_conditioning(const PixartConfig& config, const JointShape& shape,
                                        const TakeBuffer& take) {
  const int64_t rows = shape.rows(), hidden = config.joint.sizes.hidden;
  PixartConditioning space;
  space.time = {.values = take({rows}, DType::kF32),
                .sinusoid = take({rows, kSinusoidWidth}, DType::kF32),
                .hidden = take({rows, hidden}, DType::kF32)};
  if (config.micro_conditions) space.micro = take({rows, hidden}, DType::kF32);
  space.embedding = take({rows, hidden}, DType::kF32);
  space.activated = take({rows, hidden}, DType::kF32);
  space.projected = take({rows, 6 * hidden}, DType::kF32);
  space.final = take({2, rows, hidden}, DType::kF32);
  space.block_tables = take({config.joint.depth, rows, 6 * hidden}, DType::kF32);
  space.final_tables = take({2, rows, hidden}, DType::kF32);
  return space;
}

uint64_t workspace_bytes(const PixartConfig& config, const JointShape& shape, DType compute,
                         const CachePolicy& policy) {
  return buffer_bytes([&](const TakeBuffer& take) {
    lay_out_conditioning(config, shape, take);
    lay_out_joint(config.joint, shape, compute, policy, take);
  });
}

// The stored table for the grid that it is of, else one made for this grid.
Tensor position_of(const PixartWeights& weights, const JointShape& shape) {
  const JointConfig& joint = weights.config.joint;
  const TokenGrid grid = token_grid(joint, shape);
  const int64_t side = joint.grid_side();
  if (!weights.position.empty() && grid.height == side && grid.width == side) {
    Tensor stored(weights.position.shape(), DType::kF32);
    std::memcpy(stored.f32(), weights.position.f32(), stored.bytes());
    return stored;
  }
  return position_table({.hidden = joint.sizes.hidden,
                         .height = grid.height,
                         .width = grid.width,
                         .base = side,
                         .scale = weights.config.position_scale});
}

// The null caption's first rows, once for every clip.
Tensor null_captions(const PixartWeights& weights, int64_t clips, int64_t length) {
  if (weights.null_caption.empty()) {
    throw Error(ErrorCode::kInvalidArgument,
                "this checkpoint holds no null caption (diffusers layout): guidance needs the "
                "encoding of the empty prompt");
  }
  const int64_t width = weights.config.caption_channels;
  Tensor rows({clips, length, width}, DType::kF32);
  for (int64_t clip = 0; clip < clips; ++clip) {
    std::memcpy(rows.f32() + clip * length * width, weights.null_caption.f32(),
                static_cast<size_t>(length * width) * sizeof(float));
  }
  return rows;
}

}  // namespace

EncodedText encode_captions(Backend& backend, const PixartWeights& weights,
                            const Captions& conditional, const Captions& unconditional, bool guided,
                            const TensorTap& tap) {
  const CaptionProjection projection = weights.captions();
  check_captions(projection, conditional);
  if (!guided) return encode_text(backend, projection, conditional, {}, tap);
  if (!unconditional.embedding.empty()) {
    check(unconditional.embedding.dim(0) == conditional.embedding.dim(0),
          "an unconditional caption for each clip");
    return encode_text(backend, projection, conditional, unconditional, tap);
  }
  const Tensor null =
      null_captions(weights, conditional.embedding.dim(0), conditional.embedding.dim(1));
  return encode_text(backend, projection, conditional, {null, conditional.mask}, tap);
}

Pixart::Pixart(Backend& backend, const PixartWeights& weights, const JointShape& shape,
               const CachePolicy& policy)
    : backend_(backend),
      weights_(weights),
      shape_(shape),
      arena_([&] {
        const uint64_t bytes =
            workspace_bytes(weights.config, shape, weights.joint.compute, policy);
        return Arena(backend.allocate({static_cast<int64_t>(bytes)}, DType::kU8));
      }()),
      conditioning_(lay_out_conditioning(
          weights.config, shape,
          [this](const Shape& each, DType dtype) { return arena_.take(each, dtype); })),
      buffers_(lay_out_joint(
          weights.config.joint, shape, weights.joint.compute, policy,
          [this](const Shape& each, DType dtype) { return arena_.take(each, dtype); })),
      trunk_(backend, weights.joint, shape, policy, buffers_, position_of(weights, shape)),
      row_times_(static_cast<size_t>(shape.rows()), 0.0f) {
  upload_tables();
}

JointMemory Pixart::memory(const PixartConfig& config, const JointShape& shape, DType compute,
                           const CachePolicy& policy) {
  return {.workspace_bytes = workspace_bytes(config, shape, compute, policy),
          .cache_bytes = JointTrunk::cache_bytes(config.joint, shape, policy)};
}

// Every row of the batch adds the same tables to its own time vector.
void Pixart::upload_tables() {
  const int64_t hidden = weights_.config.joint.sizes.hidden, rows = shape_.rows();
  const auto repeat = [&](const Tensor& table, int64_t width, TensorView target) {
    Tensor repeated(target.shape(), DType::kF32);
    for (int64_t i = 0; i < target.dim(0) * rows; ++i) {
      std::memcpy(repeated.f32() + i * width, table.f32() + i / rows * width,
                  static_cast<size_t>(width) * sizeof(float));
    }
    backend_.upload(repeated, target);
  };
  repeat(weights_.block_tables, 6 * hidden, conditioning_.block_tables);
  repeat(weights_.final_table, hidden, conditioning_.final_tables);
}

void Pixart::condition(const EncodedText& text, double pixel_height, double pixel_width) {
  check(text.rows() == shape_.rows(), "the text does not have the batch's rows");
  text_ = &text;
  trunk_.begin_clip();
  if (weights_.config.micro_conditions) embed_size(pixel_height, pixel_width);
}

// Height, width and their ratio, a third of the channels each.
void Pixart::embed_size(double pixel_height, double pixel_width) {
  const int64_t third = weights_.config.joint.sizes.hidden / 3;
  const std::array<float, 2> size{static_cast<float>(pixel_height),
                                  static_cast<float>(pixel_width)};
  const std::array<float, 1> ratio{static_cast<float>(pixel_height / pixel_width)};
  const Tensor embedded = backend_.allocate({3, third}, DType::kF32);
  const auto embed = [&](const SinusoidEmbedder& embedder, std::span<const float> values,
                         int64_t first) {
    const auto count = static_cast<int64_t>(values.size());
    const Tensor in = backend_.allocate({count}, DType::kF32);
    const Tensor sinusoid = backend_.allocate({count, kSinusoidWidth}, DType::kF32);
    const Tensor hidden = backend_.allocate({count, third}, DType::kF32);
    embed_value(backend_, embedder, values, {in, sinusoid, hidden},
                embedded.view().rows(first, count));
    backend_.synchronize();  // the buffers above go out of use here
  };
  embed(weights_.size_embedder, size, 0);
  embed(weights_.ratio_embedder, ratio, 2);
  Tensor one({3, third}, DType::kF32), all({shape_.rows(), 3 * third}, DType::kF32);
  backend_.download(embedded, one);
  for (int64_t row = 0; row < shape_.rows(); ++row) {
    std::memcpy(all.f32() + row * 3 * third, one.f32(), one.bytes());
  }
  backend_.upload(all, conditioning_.micro);
}

void Pixart::modulation_vectors(std::span<const float> timesteps) {
  const PixartConditioning& space = conditioning_;
  const int64_t rows = shape_.rows(), hidden = weights_.config.joint.sizes.hidden;
  for (size_t row = 0; row < row_times_.size(); ++row) {
    row_times_[row] = timesteps[row % timesteps.size()];
  }
  embed_value(backend_, weights_.t_embedder, row_times_, space.time, space.embedding);
  if (!space.micro.empty()) {
    backend_.add({.a = space.embedding, .b = space.micro, .output = space.embedding});
  }
  backend_.activate(
      {.input = space.embedding, .activation = Activation::kSilu, .output = space.activated});
  backend_.linear(
      {.weights = weights_.t_block.get(), .input = space.activated, .output = space.projected});
  const auto add = [&](TensorView tables, ConstTensorView vectors, TensorView output, int64_t i) {
    const Shape shape = vectors.shape();
    backend_.add({.a = tables.rows(i, 1).reshaped(shape),
                  .b = vectors,
                  .output = output.rows(i, 1).reshaped(shape)});
  };
  const TensorView projected = space.projected.reshaped({rows, 6 * hidden});
  for (int i = 0; i < weights_.config.joint.depth; ++i) {
    add(space.block_tables, projected, buffers_.vectors, i);
  }
  for (int i = 0; i < 2; ++i) add(space.final_tables, space.embedding, space.final, i);
}

ConstTensorView Pixart::step(const PixartStep& step, const StepHooks& hooks) {
  check(text_ != nullptr, "condition() comes before the first step");
  check(static_cast<int64_t>(step.timesteps.size()) == shape_.clips, "a time for each clip");
  modulation_vectors(step.timesteps);
  const int64_t hidden = weights_.config.joint.sizes.hidden;
  const TensorView& final = conditioning_.final;
  return trunk_.step({.step = step.step,
                      .latent = step.latent,
                      .shift = {final.rows(0, 1).f32(), hidden},
                      .scale = {final.rows(1, 1).f32(), hidden},
                      .text = text_},
                     hooks);
}

}  // namespace engine
