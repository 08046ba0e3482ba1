// The weights of an image transformer's trunk, under the names of either published layout.
#pragma once

#include "models/transformer/joint_config.h"
#include "models/transformer/weights.h"

namespace engine {

// How a checkpoint names its tensors: as the original repositories do, or as diffusers does.
enum class WeightLayout { kOriginal, kDiffusers };

// Throws Error(kInvalidCheckpoint) for a checkpoint that is neither.
WeightLayout weight_layout(const Checkpoint& checkpoint);

struct JointWeights {
  JointConfig config;
  DType compute = DType::kF32;  // of the blocks; embedders and the final layer are fp32

  std::unique_ptr<LinearWeights> x_embedder;  // the patch convolution as a matrix
  std::vector<BlockWeights> blocks;
  std::unique_ptr<LinearWeights> final_linear;
};

// `final_linear`: the name of the last layer. Throws Error(kInvalidCheckpoint) naming the tensor,
// its shape and the one that the config asks for.
JointWeights load_joint_weights(const WeightLoader& load, WeightLayout layout,
                                const JointConfig& config, const std::string& final_linear,
                                DType compute);

// Bytes of the above as they are kept.
uint64_t joint_weights_bytes(const JointConfig& config, DType compute);

}  // namespace engine
