// The weights of a STDiT3 under their published names, packed for a backend.
#pragma once

#include "models/stdit3/geometry.h"
#include "models/transformer/weights.h"

namespace engine {

struct STDiT3Weights {
  STDiT3Config config;
  DType compute = DType::kF32;  // of the blocks; embedders and the final layer are fp32

  std::unique_ptr<LinearWeights> x_embedder;  // the patch convolution as a matrix
  SinusoidEmbedder t_embedder, fps_embedder;
  std::unique_ptr<LinearWeights> t_block;       // t_block.1
  std::unique_ptr<LinearWeights> y_fc1, y_fc2;  // y_embedder.y_proj
  std::unique_ptr<LinearWeights> final_linear;  // final_layer.linear
  std::vector<BlockWeights> blocks;             // spatial 0, temporal 0, spatial 1, ...

  // Host memory, fp32.
  Tensor block_tables;      // [blocks, 6, hidden]: scale_shift_table of each
  Tensor final_table;       // [2, hidden]
  Tensor null_caption;      // [model_max_length, caption_channels]: y_embedder.y_embedding
  Tensor rope_frequencies;  // [head_dim / 2]
};

// Bytes of all parameters in the dtypes they are kept in: a plan prints it.
uint64_t stdit3_weights_bytes(const STDiT3Config& config, DType compute);

// Reads a model folder (config.json and weights in any container that Checkpoint reads). Throws
// Error(kInvalidCheckpoint) naming the tensor, its shape and the one that config.json asks for.
STDiT3Weights load_stdit3(const std::filesystem::path& folder, Backend& backend, DType compute);
STDiT3Weights load_stdit3(const STDiT3Config& config, const Checkpoint& checkpoint,
                          Backend& backend, DType compute);

}  // namespace engine
