#include "models/stdit3/conditioning.h"

#include <cstring>

#include "core/check.h"
#include "engine/error.h"

namespace engine {

namespace {

struct PackedCaptions {
  Tensor rows;                   // [text tokens, caption_channels], fp32, host
  std::vector<int32_t> offsets;  // rows + 1
};

void check_captions(const STDiT3Config& config, ConstTensorView captions, ConstTensorView mask) {
  check(captions.shape().rank() == 3 && captions.dtype() == DType::kF32 &&
            captions.dim(2) == config.caption_channels,
        "captions are [clips, L, caption_channels], fp32");
  check(mask.dtype() == DType::kI32 && mask.shape() == Shape{captions.dim(0), captions.dim(1)},
        "a caption mask is [clips, L], i32");
  if (captions.dim(1) > config.model_max_length) {
    throw Error(ErrorCode::kInvalidArgument, "a caption of " + std::to_string(captions.dim(1)) +
                                                 " tokens is longer than the model's " +
                                                 std::to_string(config.model_max_length));
  }
}

// Rows with mask 1 of every caption, then (guided) of the null caption under the same masks.
PackedCaptions pack_captions(const STDiT3Weights& weights, ConstTensorView captions,
                             ConstTensorView mask, bool guided) {
  const int64_t clips = captions.dim(0), length = captions.dim(1), width = captions.dim(2);
  PackedCaptions packed;
  packed.offsets.push_back(0);
  std::vector<const float*> kept;
  for (int64_t row = 0; row < (guided ? 2 * clips : clips); ++row) {
    const int64_t clip = row % clips;
    const float* const source =
        row < clips ? captions.f32() + clip * length * width : weights.null_caption.f32();
    for (int64_t i = 0; i < length; ++i) {
      if (mask.i32()[clip * length + i] != 0) kept.push_back(source + i * width);
    }
    if (static_cast<int32_t>(kept.size()) == packed.offsets.back()) {
      throw Error(ErrorCode::kInvalidArgument, "the caption of clip " + std::to_string(clip) +
                                                   " has no token: its mask keeps nothing");
    }
    packed.offsets.push_back(static_cast<int32_t>(kept.size()));
  }
  packed.rows = Tensor({static_cast<int64_t>(kept.size()), width}, DType::kF32);
  for (size_t i = 0; i < kept.size(); ++i) {
    std::memcpy(packed.rows.f32() + static_cast<int64_t>(i) * width, kept[i],
                static_cast<size_t>(width) * sizeof(float));
  }
  return packed;
}

}  // namespace

STDiT3Text encode_captions(Backend& backend, const STDiT3Weights& weights, ConstTensorView captions,
                           ConstTensorView mask, bool guided, const TensorTap& tap) {
  const STDiT3Config& config = weights.config;
  check_captions(config, captions, mask);
  PackedCaptions packed = pack_captions(weights, captions, mask, guided);
  const int64_t tokens = packed.rows.dim(0), hidden = config.hidden;
  const Tensor input = backend.allocate(packed.rows.shape(), DType::kF32);
  const Tensor middle = backend.allocate({tokens, hidden}, DType::kF32);
  const Tensor projected = backend.allocate({tokens, hidden}, DType::kF32);
  backend.upload(packed.rows, input);
  backend.linear({.weights = weights.y_fc1.get(),
                  .input = input,
                  .output = middle,
                  .activation = Activation::kGeluTanh});
  backend.linear({.weights = weights.y_fc2.get(), .input = middle, .output = projected});
  if (tap) tap("y_emb", projected);

  Tensor converted;
  if (weights.compute != DType::kF32) {
    converted = backend.allocate({tokens, hidden}, weights.compute);
    backend.convert({.input = projected, .output = converted});
  }
  STDiT3Text text;
  text.key_value = backend.allocate({config.blocks(), tokens, 2 * hidden}, weights.compute);
  for (int i = 0; i < config.blocks(); ++i) {
    backend.linear({.weights = weights.blocks[static_cast<size_t>(i)].kv_linear.get(),
                    .input = converted.empty() ? projected : converted,
                    .output = text.key_value.view().rows(i, 1).reshaped({tokens, 2 * hidden})});
  }
  backend.synchronize();  // the buffers above go out of use here
  text.offsets = std::move(packed.offsets);
  return text;
}

void embed_value(Backend& backend, const SinusoidEmbedder& embedder, std::span<const float> values,
                 const TimeBuffers& time, TensorView output) {
  const ConstTensorView host(values.data(), DType::kF32, {static_cast<int64_t>(values.size())});
  backend.upload(host, time.values);
  backend.timestep_embedding({.values = time.values, .output = time.sinusoid});
  backend.linear({.weights = embedder.linear0.get(),
                  .input = time.sinusoid,
                  .output = time.hidden,
                  .activation = Activation::kSilu});
  backend.linear({.weights = embedder.linear2.get(), .input = time.hidden, .output = output});
}

void modulation_vectors(Backend& backend, const STDiT3Weights& weights, const Workspace& space,
                        std::span<const float> times, const TimeBuffers& time) {
  const int64_t rows = time.values.dim(0), hidden = weights.config.hidden;
  embed_value(backend, weights.t_embedder, times, time, time.embedding);
  backend.add({.a = time.embedding, .b = space.fps, .output = time.embedding});
  backend.activate(
      {.input = time.embedding, .activation = Activation::kSilu, .output = time.activated});
  backend.linear(
      {.weights = weights.t_block.get(), .input = time.activated, .output = time.projected});
  for (int i = 0; i < weights.config.blocks(); ++i) {
    const Shape shape{rows, 6 * hidden};
    backend.add({.a = space.block_tables.rows(i, 1).reshaped(shape),
                 .b = time.projected,
                 .output = time.blocks.rows(i, 1).reshaped(shape)});
  }
  for (int i = 0; i < 2; ++i) {
    const Shape shape{rows, hidden};
    backend.add({.a = space.final_tables.rows(i, 1).reshaped(shape),
                 .b = time.embedding,
                 .output = time.final.rows(i, 1).reshaped(shape)});
  }
}

}  // namespace engine
