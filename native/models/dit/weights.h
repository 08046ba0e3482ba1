// The weights of a DiT, packed for a backend, from the original layout (a pickled state dict) or
// diffusers'.
#pragma once

#include "models/dit/config.h"
#include "models/transformer/joint_weights.h"

namespace engine {

struct DitWeights {
  DitConfig config;
  JointWeights joint;

  SinusoidEmbedder t_embedder;
  Tensor label_table;  // [labels, hidden], fp32, device: y_embedder.embedding_table
  // adaLN_modulation.1: of each block (compute dtype, 6 hidden) and of the final layer (fp32, 2
  // hidden).
  std::vector<std::unique_ptr<LinearWeights>> block_modulation;
  std::unique_ptr<LinearWeights> final_modulation;
  Tensor position;  // [N, hidden], fp32, host: pos_embed
};

// Bytes of all parameters in the dtypes they are kept in: a plan prints it.
uint64_t dit_weights_bytes(const DitConfig& config, DType compute);

// Reads a model folder (config.json and weights in any container that Checkpoint reads). Throws
// Error(kInvalidCheckpoint) naming the tensor, its shape and the one that config.json asks for, or
// Error(kUnsupported) for a diffusers checkpoint whose blocks embed time or labels differently.
DitWeights load_dit(const std::filesystem::path& folder, Backend& backend, DType compute);
DitWeights load_dit(const DitConfig& config, const Checkpoint& checkpoint, Backend& backend,
                    DType compute);

}  // namespace engine
