// Sizes of a STDiT3 (Open-Sora v1.2), read from the published config.json. No table of known
// models: whatever the file says is what is built, and the weights are held to it.
#pragma once

#include <array>
#include <filesystem>
#include <string>

#include "core/json.h"
#include "core/tensor_view.h"
#include "models/transformer/sizes.h"

namespace engine {

struct STDiT3Config {
  int64_t hidden = 1152;
  int64_t heads = 16;
  int depth = 28;  // layers; each is a spatial and a temporal block
  int64_t mlp_hidden = 4608;
  int64_t caption_channels = 4096;
  int64_t model_max_length = 300;  // text tokens
  int64_t in_channels = 4;
  int64_t out_channels = 8;  // twice in_channels with pred_sigma
  std::array<int64_t, 3> patch{1, 2, 2};
  int64_t input_sq_size = 512;
  bool qk_norm = true;

  int64_t head_dim() const { return hidden / heads; }
  BlockSizes block_sizes() const { return {hidden, heads, mlp_hidden}; }
  int64_t patch_volume() const { return patch[0] * patch[1] * patch[2]; }
  int blocks() const { return 2 * depth; }
};

// Throws Error(kInvalidCheckpoint) naming `context`, the field and its bounds, or
// Error(kUnsupported).
STDiT3Config parse_stdit3_config(const Json& json, const std::string& context);
// Reads config.json of a model folder.
STDiT3Config load_stdit3_config(const std::filesystem::path& folder);

}  // namespace engine
