#include "models/dit/config.h"

namespace engine {

namespace {

constexpr int64_t kMaxClasses = 1 << 20;

}  // namespace

DitConfig parse_dit_config(const Json& json, const std::string& context) {
  DitConfig config;
  config.joint = parse_joint_config(json, "learn_sigma", "ada_norm_zero", context);
  if (is_diffusers_config(json)) {
    config.classes = json_int_or(json, "num_embeds_ada_norm", 1000, context, 1, kMaxClasses);
    return config;
  }
  config.classes = json_int_or(json, "num_classes", 1000, context, 1, kMaxClasses);
  config.null_class = json_number_or(json, "class_dropout_prob", 0.1, context) > 0;
  return config;
}

DitConfig load_dit_config(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "config.json";
  return parse_dit_config(read_json_file(file), file.string());
}

}  // namespace engine
