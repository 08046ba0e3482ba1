// Layouts of the VAE's frames on the CPU.
#pragma once

#include "backend/conv.h"
#include "backend/cpu/context.h"

namespace engine::cpu {

void channels_to_time(const CpuContext& context, const ChannelsToTimeArgs& args);
void channels_last(const CpuContext& context, const ChannelsLastArgs& args);
void channels_first(const CpuContext& context, const ChannelsFirstArgs& args);
void frames_to_rgb8(const CpuContext& context, const FramesToRgb8Args& args);

}  // namespace engine::cpu
