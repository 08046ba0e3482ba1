#include "models/transformer/text.h"

#include <cstring>

#include "core/check.h"
#include "engine/error.h"

namespace engine {

namespace {

// Where the rows that are kept lie, and where each batch row's end.
struct KeptRows {
  std::vector<const float*> rows;
  std::vector<int32_t> offsets{0};
};

void keep_rows(const Captions& captions, KeptRows& kept) {
  const int64_t length = captions.embedding.dim(1), width = captions.embedding.dim(2);
  for (int64_t clip = 0; clip < captions.embedding.dim(0); ++clip) {
    for (int64_t i = clip * length; i < (clip + 1) * length; ++i) {
      if (captions.mask.i32()[i] != 0) kept.rows.push_back(captions.embedding.f32() + i * width);
    }
    kept.offsets.push_back(static_cast<int32_t>(kept.rows.size()));
  }
}

Tensor pack(const KeptRows& kept, int64_t width) {
  Tensor packed({static_cast<int64_t>(kept.rows.size()), width}, DType::kF32);
  for (size_t i = 0; i < kept.rows.size(); ++i) {
    std::memcpy(packed.f32() + static_cast<int64_t>(i) * width, kept.rows[i],
                static_cast<size_t>(width) * sizeof(float));
  }
  return packed;
}

}  // namespace

void check_captions(const CaptionProjection& projection, const Captions& captions) {
  const ConstTensorView& embedding = captions.embedding;
  check(embedding.shape().rank() == 3 && embedding.dtype() == DType::kF32 &&
            embedding.dim(2) == projection.fc1->in(),
        "captions are [clips, L, caption_channels], fp32");
  const int64_t clips = embedding.dim(0), length = embedding.dim(1);
  check(captions.mask.dtype() == DType::kI32 && captions.mask.shape() == Shape{clips, length},
        "a caption mask is [clips, L], i32");
  if (length > projection.tokens_max) {
    throw Error(ErrorCode::kInvalidArgument, "a caption of " + std::to_string(length) +
                                                 " tokens is longer than the model's " +
                                                 std::to_string(projection.tokens_max));
  }
  for (int64_t clip = 0; clip < clips; ++clip) {
    bool any = false;
    for (int64_t i = 0; i < length; ++i) any = any || captions.mask.i32()[clip * length + i] != 0;
    if (any) continue;
    throw Error(ErrorCode::kInvalidArgument, "the caption of clip " + std::to_string(clip) +
                                                 " has no token: its mask keeps nothing");
  }
}

EncodedText encode_text(Backend& backend, const CaptionProjection& projection,
                        const Captions& conditional, const Captions& unconditional,
                        const TensorTap& tap) {
  KeptRows kept;
  for (const Captions* const captions : {&conditional, &unconditional}) {
    if (captions->embedding.empty()) continue;
    check_captions(projection, *captions);
    keep_rows(*captions, kept);
  }
  const Tensor rows = pack(kept, projection.fc1->in());
  const int64_t tokens = rows.dim(0), hidden = projection.fc2->out();
  const Tensor input = backend.allocate(rows.shape(), DType::kF32);
  const Tensor middle = backend.allocate({tokens, projection.fc1->out()}, DType::kF32);
  const Tensor projected = backend.allocate({tokens, hidden}, DType::kF32);
  backend.upload(rows, input);
  backend.linear({.weights = projection.fc1,
                  .input = input,
                  .output = middle,
                  .activation = Activation::kGeluTanh});
  backend.linear({.weights = projection.fc2, .input = middle, .output = projected});
  if (tap) tap("y_emb", projected);

  Tensor converted;
  if (projection.compute != DType::kF32) {
    converted = backend.allocate({tokens, hidden}, projection.compute);
    backend.convert({.input = projected, .output = converted});
  }
  const auto blocks = static_cast<int64_t>(projection.blocks.size());
  EncodedText text;
  text.key_value = backend.allocate({blocks, tokens, 2 * hidden}, projection.compute);
  for (int64_t i = 0; i < blocks; ++i) {
    backend.linear({.weights = projection.blocks[static_cast<size_t>(i)].kv_linear.get(),
                    .input = converted.empty() ? projected : converted,
                    .output = text.key_value.view().rows(i, 1).reshaped({tokens, 2 * hidden})});
  }
  backend.synchronize();  // the buffers above go out of use here
  text.offsets = std::move(kept.offsets);
  return text;
}

}  // namespace engine
