// The nominal count of floating-point operations of a STDiT3.
#pragma once

#include "models/stdit3/config.h"
#include "models/transformer/flops.h"

namespace engine {

inline double nominal_flops(const STDiT3Config& config, const TokenGrid& grid,
                            const ModuleWork& work) {
  return nominal_flops(config.block_sizes(), grid, work);
}

}  // namespace engine
