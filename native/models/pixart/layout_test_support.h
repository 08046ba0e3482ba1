// A PixArt-alpha in diffusers' layout, for tests.
#pragma once

#include "models/transformer/layout_test_support.h"

namespace engine {

// A checkpoint in the original layout given again in diffusers', which has no null caption and no
// table of positions.
inline RenamedTensors diffusers_pixart(const Checkpoint& source, int depth) {
  const std::string embedder = "adaln_single.emb.timestep_embedder.";
  RenamedTensors renamed(source);
  renamed.layer("x_embedder.proj", "pos_embed.proj");
  renamed.layer("t_embedder.mlp.0", embedder + "linear_1");
  renamed.layer("t_embedder.mlp.2", embedder + "linear_2");
  renamed.layer("t_block.1", "adaln_single.linear");
  renamed.layer("y_embedder.y_proj.fc1", "caption_projection.linear_1");
  renamed.layer("y_embedder.y_proj.fc2", "caption_projection.linear_2");
  for (int i = 0; i < depth; ++i) {
    const std::string index = std::to_string(i);
    renamed.block(i, true);
    renamed.tensor("blocks." + index + ".scale_shift_table",
                   "transformer_blocks." + index + ".scale_shift_table");
  }
  renamed.tensor("final_layer.scale_shift_table", "scale_shift_table");
  renamed.layer("final_layer.linear", "proj_out");
  return renamed;
}

}  // namespace engine
