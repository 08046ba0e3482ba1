// The weights of a network's layers, in the layout that the backend likes.
#pragma once

#include <memory>
#include <vector>

#include "backend/backend.h"
#include "core/checkpoint.h"
#include "models/video_vae/block.h"

namespace engine {

// Of one layer; what its kind does not have is empty.
struct VaeLayerWeights {
  std::unique_ptr<ConvWeights> conv;  // of attention: the projection, which adds the residual
  Tensor norm_weight, norm_bias;      // [C], fp32; also of a convolution's input
  std::unique_ptr<LinearWeights> query, key, value;
};

// One for each layer. Throws Error(kNotFound | kInvalidCheckpoint) naming the tensor,
// Error(kOutOfMemory).
std::vector<VaeLayerWeights> load_vae_weights(Backend& backend, const Checkpoint& checkpoint,
                                              const VaeNetwork& network);

// The per-channel values of `name` ("scale", "shift") if the checkpoint has them, else `fallback`.
std::vector<float> load_channel_values(const Checkpoint& checkpoint, const std::string& name,
                                       const std::vector<float>& fallback);

}  // namespace engine
