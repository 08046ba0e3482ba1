#include "models/pixart/config.h"

#include <algorithm>

#include "engine/error.h"

namespace engine {

namespace {

constexpr int64_t kMaxTextTokens = 65536;
// The published diffusers configs leave both settings out: they follow from sample_size there.
constexpr int64_t kMicroConditionsSize = 128;
constexpr int64_t kUnscaledSize = 64;

double position_scale(const Json& json, const JointConfig& joint, const std::string& context) {
  if (!is_diffusers_config(json)) return json_number_or(json, "lewei_scale", 1.0, context);
  const int64_t fallback = std::max<int64_t>(joint.input_size / kUnscaledSize, 1);
  return json_number_or(json, "interpolation_scale", static_cast<double>(fallback), context);
}

bool micro_conditions(const Json& json, const JointConfig& joint, const std::string& context) {
  if (!is_diffusers_config(json)) {
    const bool multi_scale = json_string_or(json, "architecture", "", context) == "PixArtMS";
    return json_bool_or(json, "micro_condition", multi_scale, context);
  }
  return json_bool_or(json, "use_additional_conditions", joint.input_size == kMicroConditionsSize,
                      context);
}

}  // namespace

PixartConfig parse_pixart_config(const Json& json, const std::string& context) {
  PixartConfig config;
  config.joint = parse_joint_config(json, "pred_sigma", "ada_norm_single", context);
  config.joint.cross_attention = true;
  config.caption_channels =
      json_int_or(json, "caption_channels", config.caption_channels, context, 1, kMaxModelWidth);
  config.model_max_length =
      json_int_or(json, "model_max_length", config.model_max_length, context, 1, kMaxTextTokens);
  config.position_scale = position_scale(json, config.joint, context);
  if (!(config.position_scale > 0)) {
    throw Error(ErrorCode::kInvalidCheckpoint,
                context +
                    ": the scale of the positions (lewei_scale or interpolation_scale) must "
                    "be above 0");
  }
  config.micro_conditions = micro_conditions(json, config.joint, context);
  if (config.micro_conditions && config.joint.sizes.hidden % 3 != 0) {
    throw Error(ErrorCode::kInvalidCheckpoint,
                context + ": hidden_size " + std::to_string(config.joint.sizes.hidden) +
                    " is no multiple of 3, which size and aspect ratio share out");
  }
  return config;
}

PixartConfig load_pixart_config(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "config.json";
  return parse_pixart_config(read_json_file(file), file.string());
}

}  // namespace engine
