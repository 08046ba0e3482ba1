#include "models/transformer/joint_config.h"

#include "core/quote.h"
#include "engine/error.h"

namespace engine {

namespace {

constexpr int64_t kMaxDepth = 1024;
constexpr int64_t kMaxChannels = 1024;
constexpr int64_t kMaxPatch = 16;
constexpr int64_t kMaxInputSize = 1024;

[[noreturn]] void invalid(const std::string& context, const std::string& what) {
  throw Error(ErrorCode::kInvalidCheckpoint, context + ": " + what);
}

void read_original(const Json& json, const char* variance_field, const std::string& context,
                   JointConfig& config) {
  BlockSizes& sizes = config.sizes;
  sizes.hidden = json_int(json, "hidden_size", context, 4, kMaxModelWidth);
  sizes.heads = json_int(json, "num_heads", context, 1, sizes.hidden);
  config.depth = static_cast<int>(json_int(json, "depth", context, 1, kMaxDepth));
  const double mlp_ratio = json_number_or(json, "mlp_ratio", 4.0, context);
  if (!(mlp_ratio > 0 && mlp_ratio <= 64)) {
    invalid(context, "mlp_ratio must be above 0, at most 64");
  }
  sizes.mlp_hidden = static_cast<int64_t>(static_cast<double>(sizes.hidden) * mlp_ratio);
  if (sizes.mlp_hidden < 1) invalid(context, "mlp_ratio leaves the MLP without channels");
  config.input_size = json_int_or(json, "input_size", 32, context, 1, kMaxInputSize);
  const bool variance = json_bool_or(json, variance_field, true, context);
  config.out_channels = variance ? 2 * config.in_channels : config.in_channels;
}

// A setting that the blocks are built for.
void expect(const Json& json, const char* field, const char* wanted, const std::string& context) {
  const std::string found = json_string_or(json, field, wanted, context);
  if (found == wanted) return;
  throw Error(ErrorCode::kUnsupported, context + ": " + field + " is " + quote(found) + "; only " +
                                           quote(wanted) + " is supported");
}

void read_diffusers(const Json& json, const char* norm_type, const std::string& context,
                    JointConfig& config) {
  BlockSizes& sizes = config.sizes;
  sizes.heads = json_int(json, "num_attention_heads", context, 1, kMaxModelWidth);
  sizes.hidden = sizes.heads * json_int(json, "attention_head_dim", context, 1, kMaxModelWidth);
  if (sizes.hidden > kMaxModelWidth) {
    invalid(context, "num_attention_heads times attention_head_dim is " +
                         std::to_string(sizes.hidden) + ", at most " +
                         std::to_string(kMaxModelWidth) + " is supported");
  }
  sizes.mlp_hidden = 4 * sizes.hidden;  // of diffusers' feed-forward, whatever the model
  config.depth = static_cast<int>(json_int(json, "num_layers", context, 1, kMaxDepth));
  config.input_size = json_int(json, "sample_size", context, 1, kMaxInputSize);
  config.out_channels =
      json_int_or(json, "out_channels", config.in_channels, context, 1, 2 * kMaxChannels);
  expect(json, "norm_type", norm_type, context);
  expect(json, "activation_fn", "gelu-approximate", context);
}

void check_sizes(const JointConfig& config, const std::string& context) {
  const BlockSizes& sizes = config.sizes;
  const std::string hidden = std::to_string(sizes.hidden);
  if (sizes.hidden % sizes.heads != 0) {
    invalid(context, "hidden_size " + hidden + " is no multiple of num_heads " +
                         std::to_string(sizes.heads));
  }
  if (sizes.hidden % 4 != 0) {
    invalid(context, "hidden_size " + hidden + " is no multiple of 4, which the positions need");
  }
  if (config.input_size % config.patch != 0) {
    invalid(context, "a latent of " + std::to_string(config.input_size) +
                         " is no multiple of patch_size " + std::to_string(config.patch));
  }
  if (config.out_channels != config.in_channels && config.out_channels != 2 * config.in_channels) {
    invalid(context, "out_channels " + std::to_string(config.out_channels) +
                         " must be in_channels " + std::to_string(config.in_channels) +
                         ", or twice that with a learned variance");
  }
}

}  // namespace

bool is_diffusers_config(const Json& json) {
  return json.contains("attention_head_dim");
}

JointConfig parse_joint_config(const Json& json, const char* variance_field, const char* norm_type,
                               const std::string& context) {
  if (!json.is_object()) invalid(context, "the config is no JSON object");
  JointConfig config;
  config.in_channels = json_int_or(json, "in_channels", 4, context, 1, kMaxChannels);
  config.patch = json_int_or(json, "patch_size", 2, context, 1, kMaxPatch);
  if (is_diffusers_config(json)) {
    read_diffusers(json, norm_type, context, config);
  } else {
    read_original(json, variance_field, context, config);
  }
  check_sizes(config, context);
  return config;
}

}  // namespace engine
