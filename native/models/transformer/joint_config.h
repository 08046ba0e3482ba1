// What the configs of image transformers with one block a layer (PixArt-alpha, DiT) have in common,
// in both forms they are published in: the original repositories' and diffusers'.
#pragma once

#include <string>

#include "core/json.h"
#include "models/transformer/sizes.h"

namespace engine {

struct JointConfig {
  BlockSizes sizes;
  int depth = 28;  // blocks, one a layer
  int64_t in_channels = 4;
  int64_t out_channels = 8;  // twice in_channels where the variance is learned
  int64_t patch = 2;         // side, in latent pixels
  int64_t input_size = 32;   // side of the latent that the model was trained with
  bool cross_attention = false;

  int64_t patch_volume() const { return patch * patch; }
  int64_t grid_side() const { return input_size / patch; }
};

// Whether the config is diffusers' (attention_head_dim and num_layers in place of hidden_size and
// depth).
bool is_diffusers_config(const Json& json);

// `variance_field`: the original form's name for "predicts the variance too". `norm_type`: what
// diffusers calls this model's modulation. Throws Error(kInvalidCheckpoint) naming `context`, the
// field and its bounds, or Error(kUnsupported).
JointConfig parse_joint_config(const Json& json, const char* variance_field, const char* norm_type,
                               const std::string& context);

// Bounds far above any model of this family, low enough that no product of them overflows.
inline constexpr int64_t kMaxModelWidth = 65536;

}  // namespace engine
