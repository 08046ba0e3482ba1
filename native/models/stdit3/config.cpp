#include "models/stdit3/config.h"

#include <cmath>

#include "engine/error.h"

namespace engine {

namespace {

// Bounds far above any model of this family, low enough that no product of them overflows.
constexpr int64_t kMaxWidth = 65536;
constexpr int64_t kMaxDepth = 1024;
constexpr int64_t kMaxPatch = 16;
constexpr int64_t kMaxTextTokens = 65536;

[[noreturn]] void invalid(const std::string& context, const std::string& what) {
  throw Error(ErrorCode::kInvalidCheckpoint, context + ": " + what);
}

std::array<int64_t, 3> parse_patch(const Json& json, const std::string& context) {
  std::array<int64_t, 3> patch{1, 2, 2};
  const auto field = json.find("patch_size");
  if (field == json.end()) return patch;
  if (!field->is_array() || field->size() != patch.size()) {
    invalid(context, "patch_size must be three integers");
  }
  for (size_t i = 0; i < patch.size(); ++i) {
    const Json& size = (*field)[i];
    if (!size.is_number_integer() || size.get<int64_t>() < 1 || size.get<int64_t>() > kMaxPatch) {
      invalid(context, "patch_size must be integers from 1 to " + std::to_string(kMaxPatch));
    }
    patch[i] = size.get<int64_t>();
  }
  return patch;
}

void check_sizes(const STDiT3Config& config, const std::string& context) {
  const std::string hidden = std::to_string(config.hidden);
  if (config.hidden % config.heads != 0) {
    invalid(context, "hidden_size " + hidden + " is no multiple of num_heads " +
                         std::to_string(config.heads));
  }
  if (config.head_dim() % 2 != 0) {
    invalid(context, "hidden_size / num_heads is " + std::to_string(config.head_dim()) +
                         ", but rotary positions need an even number");
  }
  if (config.hidden % 4 != 0) {
    invalid(context, "hidden_size " + hidden + " is no multiple of 4, which the positions need");
  }
}

}  // namespace

STDiT3Config parse_stdit3_config(const Json& json, const std::string& context) {
  if (!json.is_object()) invalid(context, "the config is no JSON object");
  STDiT3Config config;
  config.hidden = json_int(json, "hidden_size", context, 4, kMaxWidth);
  config.heads = json_int(json, "num_heads", context, 1, config.hidden);
  config.depth = static_cast<int>(json_int(json, "depth", context, 1, kMaxDepth));
  const double mlp_ratio = json_number_or(json, "mlp_ratio", 4.0, context);
  if (!(mlp_ratio > 0 && mlp_ratio <= 64))
    invalid(context, "mlp_ratio must be above 0, at most 64");
  config.mlp_hidden = static_cast<int64_t>(static_cast<double>(config.hidden) * mlp_ratio);
  if (config.mlp_hidden < 1) invalid(context, "mlp_ratio leaves the MLP without channels");
  config.caption_channels =
      json_int_or(json, "caption_channels", config.caption_channels, context, 1, kMaxWidth);
  config.model_max_length =
      json_int_or(json, "model_max_length", config.model_max_length, context, 1, kMaxTextTokens);
  config.in_channels = json_int_or(json, "in_channels", config.in_channels, context, 1, 1024);
  const bool pred_sigma = json_bool_or(json, "pred_sigma", true, context);
  config.out_channels = pred_sigma ? 2 * config.in_channels : config.in_channels;
  config.patch = parse_patch(json, context);
  config.input_sq_size = json_int_or(json, "input_sq_size", 512, context, 1, kMaxWidth);
  config.qk_norm = json_bool_or(json, "qk_norm", true, context);
  check_sizes(config, context);
  if (json_bool_or(json, "skip_y_embedder", false, context)) {
    throw Error(
        ErrorCode::kUnsupported,
        context + ": skip_y_embedder is true; only models that embed captions are supported");
  }
  return config;
}

STDiT3Config load_stdit3_config(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "config.json";
  return parse_stdit3_config(read_json_file(file), file.string());
}

}  // namespace engine
