// The weights of a PixArt-alpha, packed for a backend, from the original layout (a pickled state
// dict) or diffusers'.
#pragma once

#include "models/pixart/config.h"
#include "models/transformer/joint_weights.h"
#include "models/transformer/text.h"

namespace engine {

struct PixartWeights {
  PixartConfig config;
  JointWeights joint;

  SinusoidEmbedder t_embedder;
  SinusoidEmbedder size_embedder, ratio_embedder;  // hidden / 3 wide; null: no micro conditions
  std::unique_ptr<LinearWeights> t_block;          // t_block.1: 6 hidden
  std::unique_ptr<LinearWeights> y_fc1, y_fc2;     // y_embedder.y_proj

  // Host memory, fp32.
  Tensor block_tables;  // [depth, 6, hidden]: scale_shift_table of each block
  Tensor final_table;   // [2, hidden]
  // [model_max_length, caption_channels]: y_embedder.y_embedding; empty in diffusers' layout, where
  // the null caption is the encoding of the empty prompt.
  Tensor null_caption;
  Tensor position;  // [N, hidden]: pos_embed, of the grid that the model was trained with; or empty

  CaptionProjection captions() const;
};

// Bytes of all parameters in the dtypes they are kept in: a plan prints it.
uint64_t pixart_weights_bytes(const PixartConfig& config, DType compute);

// Reads a model folder (config.json and weights in any container that Checkpoint reads). Throws
// Error(kInvalidCheckpoint) naming the tensor, its shape and the one that config.json asks for.
PixartWeights load_pixart(const std::filesystem::path& folder, Backend& backend, DType compute);
PixartWeights load_pixart(const PixartConfig& config, const Checkpoint& checkpoint,
                          Backend& backend, DType compute);

}  // namespace engine
