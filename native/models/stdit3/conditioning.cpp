#include "models/stdit3/conditioning.h"

#include <cstring>

namespace engine {

namespace {

// The null caption's first rows, once for every clip.
Tensor null_captions(const STDiT3Weights& weights, int64_t clips, int64_t length) {
  const int64_t width = weights.config.caption_channels;
  Tensor rows({clips, length, width}, DType::kF32);
  for (int64_t clip = 0; clip < clips; ++clip) {
    std::memcpy(rows.f32() + clip * length * width, weights.null_caption.f32(),
                static_cast<size_t>(length * width) * sizeof(float));
  }
  return rows;
}

}  // namespace

STDiT3Text encode_captions(Backend& backend, const STDiT3Weights& weights, ConstTensorView captions,
                           ConstTensorView mask, bool guided, const TensorTap& tap) {
  const STDiT3Config& config = weights.config;
  const CaptionProjection projection{.fc1 = weights.y_fc1.get(),
                                     .fc2 = weights.y_fc2.get(),
                                     .blocks = weights.blocks,
                                     .compute = weights.compute,
                                     .tokens_max = config.model_max_length};
  const Captions conditional{captions, mask};
  check_captions(projection, conditional);
  if (!guided) return encode_text(backend, projection, conditional, {}, tap);
  const Tensor null = null_captions(weights, captions.dim(0), captions.dim(1));
  return encode_text(backend, projection, conditional, {null, mask}, tap);
}

void embed_value(Backend& backend, const SinusoidEmbedder& embedder, std::span<const float> values,
                 const TimeBuffers& time, TensorView output) {
  embed_value(
      backend, embedder, values,
      SinusoidBuffers{.values = time.values, .sinusoid = time.sinusoid, .hidden = time.hidden},
      output);
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
