// Captions made ready for the cross-attention of every block of a transformer.
#pragma once

#include <span>
#include <vector>

#include "models/transformer/step_hooks.h"
#include "models/transformer/weights.h"

namespace engine {

// Text of some clips. Depends on captions and weights alone: made once, it serves every clip of
// that prompt.
struct EncodedText {
  Tensor key_value;              // [blocks, text tokens, 2 hidden], compute dtype, device
  std::vector<int32_t> offsets;  // rows + 1: row r has text tokens [offsets[r], offsets[r + 1])

  int64_t rows() const { return static_cast<int64_t>(offsets.size()) - 1; }
  // Of the first `count` rows.
  std::span<const int32_t> offsets_of(int64_t count) const {
    return {offsets.data(), static_cast<size_t>(count) + 1};
  }
};

struct Captions {
  ConstTensorView embedding;  // [clips, L, caption_channels], fp32, host
  ConstTensorView mask;       // [clips, L], i32, host: 1 = keep the row
};

// Linear, tanh-GELU, Linear, then the keys and values of each block.
struct CaptionProjection {
  const LinearWeights* fc1 = nullptr;
  const LinearWeights* fc2 = nullptr;
  std::span<const BlockWeights> blocks;
  DType compute = DType::kF32;
  int64_t tokens_max = 0;
};

// Throws Error(kInvalidArgument) when captions are longer than the model takes or a mask keeps
// nothing.
void check_captions(const CaptionProjection& projection, const Captions& captions);

// Packs the rows that the masks keep: those of `conditional`, then those of `unconditional` (empty
// for an unguided batch), and encodes them. Throws as check_captions().
EncodedText encode_text(Backend& backend, const CaptionProjection& projection,
                        const Captions& conditional, const Captions& unconditional,
                        const TensorTap& tap = {});

}  // namespace engine
