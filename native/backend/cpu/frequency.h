// Spatial frequencies on the CPU.
#pragma once

#include "backend/cpu/context.h"
#include "backend/frequency.h"

namespace engine::cpu {

void low_pass(const CpuContext& context, const LowPassArgs& args);

}  // namespace engine::cpu
