// Measuring and extrapolating features on the CPU.
#pragma once

#include "backend/change.h"
#include "backend/cpu/context.h"

namespace engine::cpu {

void relative_l1(const CpuContext& context, const RelativeL1Args& args);
void update_differences(const CpuContext& context, const UpdateDifferencesArgs& args);

}  // namespace engine::cpu
