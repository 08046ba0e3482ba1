// Updates of the latent on the CPU.
#pragma once

#include "backend/cpu/context.h"
#include "backend/sampler.h"

namespace engine::cpu {

void guided_euler(const CpuContext& context, const GuidedEulerArgs& args);
void renoise_frames(const CpuContext& context, const RenoiseFramesArgs& args);

}  // namespace engine::cpu
