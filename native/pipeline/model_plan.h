// The plan of a whole model folder: the transformer's plan, with the bytes of text encoder and VAE.
#pragma once

#include <filesystem>

#include "engine/engine.h"

namespace engine {

// Texts of transformer/, vae/ and text_encoder/config.json.
ModelConfigs read_model_configs(const std::filesystem::path& model);

// Bytes of all weights as they are kept on the device.
uint64_t planned_weights_bytes(const ModelConfigs& configs, DType dtype);

}  // namespace engine
