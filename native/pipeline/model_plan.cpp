#include "pipeline/model_plan.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "core/json.h"
#include "models/t5/config.h"
#include "models/video_vae/config.h"
#include "models/video_vae/workspace.h"
#include "pipeline/plan.h"
#include "pipeline/request_check.h"

namespace engine {
namespace {

// Text encoder and VAE compute in fp32, whatever the transformer's dtype.
constexpr DType kSideDtype = DType::kF32;

std::string read_config_text(const std::filesystem::path& file) {
  read_json_file(file);  // refuses what is missing or damaged, naming file and place
  std::ifstream stream(file);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

// Weights of all parts, and the bytes of text encoding and decoding, which are over before or begin
// after denoising.
PlanBytes side_bytes(const ModelConfigs& configs, const RenderRequest* request,
                     int64_t text_tokens) {
  PlanBytes bytes;
  if (!configs.text_encoder.empty()) {
    const T5Config text = parse_t5_config(
        parse_json(configs.text_encoder, "text_encoder/config.json"), "text_encoder/config.json");
    bytes.weights += t5_weights_bytes(text, kSideDtype);
    bytes.largest_other_stage = t5_workspace_bytes(text, kSideDtype, 1, text_tokens);
  }
  if (!configs.vae.empty()) {
    const VideoVaeConfig vae =
        parse_vae_config(parse_json(configs.vae, "vae/config.json"), "vae/config.json");
    bytes.weights += vae_weights_bytes(vae, /*with_encoder=*/false);
    if (request != nullptr) {
      const uint64_t decode = vae_peak_bytes(vae, request->frames, request->height, request->width);
      bytes.largest_other_stage = std::max(bytes.largest_other_stage, decode);
    }
  }
  return bytes;
}

STDiT3Config transformer_config(const ModelConfigs& configs) {
  const std::string context = "transformer/config.json";
  return parse_stdit3_config(parse_json(configs.transformer, context), context);
}

}  // namespace

ModelConfigs read_model_configs(const std::filesystem::path& model) {
  return {.transformer = read_config_text(model / "transformer" / "config.json"),
          .vae = read_config_text(model / "vae" / "config.json"),
          .text_encoder = read_config_text(model / "text_encoder" / "config.json")};
}

uint64_t planned_weights_bytes(const ModelConfigs& configs, DType dtype) {
  const STDiT3Config config = transformer_config(configs);
  return stdit3_weights_bytes(config, dtype) +
         side_bytes(configs, nullptr, config.model_max_length).weights;
}

Plan make_plan(const ModelConfigs& configs, const RenderRequest& request, DType dtype) {
  check_request(request);
  const STDiT3Config config = transformer_config(configs);
  return make_plan(config, request, dtype, side_bytes(configs, &request, config.model_max_length));
}

}  // namespace engine
