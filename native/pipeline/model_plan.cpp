#include "pipeline/model_plan.h"

#include <fstream>
#include <sstream>

#include "core/json.h"
#include "engine/error.h"
#include "models/t5/config.h"
#include "pipeline/plan.h"
#include "pipeline/request_check.h"

namespace engine {
namespace {

std::string read_config_text(const std::filesystem::path& file) {
  read_json_file(file);  // refuses what is missing or damaged, naming file and place
  std::ifstream stream(file);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

std::string read_config_text_or_none(const std::filesystem::path& file) {
  return std::filesystem::exists(file) ? read_config_text(file) : "";
}

// Weights of text encoder and VAE, and the bytes of text encoding and decoding, which are over
// before or begin after denoising.
PlanBytes side_bytes(const ModelFamily& family, const ModelConfigs& configs, DType compute,
                     const RenderRequest* request) {
  PlanBytes bytes;
  if (family.text_tokens() > 0 && !configs.text_encoder.empty()) {
    const T5Config text = parse_t5_config(
        parse_json(configs.text_encoder, "text_encoder/config.json"), "text_encoder/config.json");
    bytes.text_encoder = t5_weights_bytes(text, compute);
    bytes.text_encoding = t5_workspace_bytes(text, compute, 1, family.text_tokens());
  }
  if (!configs.vae.empty()) {
    const VaeBytes vae =
        family.vae_bytes(parse_json(configs.vae, "vae/config.json"), compute, request);
    bytes.weights = vae.weights;
    bytes.decode = vae.decode;
  }
  return bytes;
}

}  // namespace

ModelConfigs read_model_configs(const std::filesystem::path& model) {
  ModelConfigs configs{.transformer = read_config_text(model / "transformer" / "config.json"),
                       .vae = read_config_text(model / "vae" / "config.json"),
                       .text_encoder = {},
                       .model_index = read_config_text_or_none(model / "model_index.json")};
  if (model_family(configs)->text_tokens() > 0) {
    configs.text_encoder = read_config_text(model / "text_encoder" / "config.json");
  }
  return configs;
}

PlannedWeights planned_weights_bytes(const ModelConfigs& configs, DType dtype) {
  const auto family = model_family(configs);
  const PlanBytes bytes = side_bytes(*family, configs, dtype, nullptr);
  return {.text_encoder = bytes.text_encoder,
          .others = family->weights_bytes(dtype) + bytes.weights};
}

Plan make_plan(const ModelConfigs& configs, const RenderRequest& request, DType dtype) {
  check_request(request);
  const auto family = model_family(configs);
  family->check(request);
  return make_plan(*family, request, dtype, side_bytes(*family, configs, dtype, &request));
}

void check_prompts(const ModelConfigs& configs, const std::vector<std::string>& prompts) {
  model_family(configs)->check_prompts(prompts);
}

}  // namespace engine
