// Sizes of a DiT (Peebles and Xie, arXiv 2212.09748), read from config.json in either published
// form. No table of known models: whatever the file says is what is built, and the weights are
// held to it.
#pragma once

#include <filesystem>

#include "models/transformer/joint_config.h"

namespace engine {

struct DitConfig {
  JointConfig joint;
  int64_t classes = 1000;
  // Whether the label table has one more row, for no class: guidance needs it.
  bool null_class = true;

  int64_t labels() const { return classes + (null_class ? 1 : 0); }
};

// Throws Error(kInvalidCheckpoint) naming `context`, the field and its bounds, or
// Error(kUnsupported).
DitConfig parse_dit_config(const Json& json, const std::string& context);
// Reads config.json of a model folder.
DitConfig load_dit_config(const std::filesystem::path& folder);

}  // namespace engine
