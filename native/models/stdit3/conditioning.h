// What steers the blocks besides the tokens: modulation vectors from time and fps, and keys and
// values from captions.
#pragma once

#include <span>
#include <vector>

#include "models/stdit3/weights.h"
#include "models/stdit3/workspace.h"
#include "models/transformer/text.h"

namespace engine {

using STDiT3Text = EncodedText;

// `captions` [clips, L, caption_channels], fp32 and `mask` [clips, L], i32 (1 = keep the row),
// host. Guided: after the captions' rows as many rows of the null caption, each kept where its
// clip's mask keeps. Throws Error(kInvalidArgument) when L exceeds model_max_length or a mask keeps
// nothing.
STDiT3Text encode_captions(Backend& backend, const STDiT3Weights& weights, ConstTensorView captions,
                           ConstTensorView mask, bool guided, const TensorTap& tap = {});

// Embeds one value for each row with the buffers of `time`.
void embed_value(Backend& backend, const SinusoidEmbedder& embedder, std::span<const float> values,
                 const TimeBuffers& time, TensorView output);

// Fills `time` for these times: embedding (plus fps), projection, and the vectors of all blocks
// and the final layer.
void modulation_vectors(Backend& backend, const STDiT3Weights& weights, const Workspace& space,
                        std::span<const float> times, const TimeBuffers& time);

}  // namespace engine
