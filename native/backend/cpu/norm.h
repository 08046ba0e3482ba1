// Normalisations on the CPU.
#pragma once

#include "backend/cpu/context.h"
#include "backend/norm.h"

namespace engine::cpu {

void layer_norm_modulate(const CpuContext& context, const LayerNormModulateArgs& args);
void rms_norm(const CpuContext& context, const RmsNormArgs& args);
void group_norm(const CpuContext& context, const GroupNormArgs& args);

}  // namespace engine::cpu
