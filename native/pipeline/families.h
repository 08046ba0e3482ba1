// The families that this engine knows, one file each.
#pragma once

#include "models/stdit3/config.h"
#include "pipeline/model_family.h"

namespace engine {

// `json`: the parsed transformer config. Throw as model_family().
std::unique_ptr<ModelFamily> make_stdit3_family(const Json& json, const ModelConfigs& configs);
std::unique_ptr<ModelFamily> make_pixart_family(const Json& json, const ModelConfigs& configs);
std::unique_ptr<ModelFamily> make_dit_family(const Json& json, const ModelConfigs& configs);

std::unique_ptr<ModelFamily> make_stdit3_family(const STDiT3Config& config);

}  // namespace engine
