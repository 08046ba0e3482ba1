// Sizes of a PixArt-alpha (Chen et al., arXiv 2310.00426), read from config.json in either
// published form. No table of known models: whatever the file says is what is built, and the
// weights are held to it.
#pragma once

#include <filesystem>

#include "models/transformer/joint_config.h"

namespace engine {

struct PixartConfig {
  JointConfig joint;
  int64_t caption_channels = 4096;
  int64_t model_max_length = 120;  // text tokens
  double position_scale = 1.0;     // coordinates of the tokens are divided by it
  // Whether the model is told the picture's size and aspect ratio (the 1024-MS one is).
  bool micro_conditions = false;
};

// Throws Error(kInvalidCheckpoint) naming `context`, the field and its bounds, or
// Error(kUnsupported).
PixartConfig parse_pixart_config(const Json& json, const std::string& context);
// Reads config.json of a model folder.
PixartConfig load_pixart_config(const std::filesystem::path& folder);

}  // namespace engine
