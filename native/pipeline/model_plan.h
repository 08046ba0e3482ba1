// The plan of a whole model folder: the transformer's plan, with the bytes of text encoder and VAE.
#pragma once

#include <filesystem>

#include "engine/engine.h"

namespace engine {

// Texts of transformer/, vae/ and text_encoder/config.json.
ModelConfigs read_model_configs(const std::filesystem::path& model);

// Bytes of weights as they are kept on the device.
struct PlannedWeights {
  uint64_t text_encoder = 0;
  uint64_t others = 0;

  uint64_t all() const { return text_encoder + others; }
};
PlannedWeights planned_weights_bytes(const ModelConfigs& configs, DType dtype);

}  // namespace engine
