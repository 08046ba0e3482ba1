// Updates of the latent on the CPU.
#pragma once

#include "backend/cpu/context.h"
#include "backend/sampler.h"

namespace engine::cpu {

void guided_euler(const CpuContext& context, const GuidedEulerArgs& args);
void renoise_frames(const CpuContext& context, const RenoiseFramesArgs& args);
void guided_noise(const CpuContext& context, const GuidedNoiseArgs& args);
void weighted_sum(const CpuContext& context, const WeightedSumArgs& args);
void learned_variance_noise(const CpuContext& context, const LearnedVarianceNoiseArgs& args);

}  // namespace engine::cpu
