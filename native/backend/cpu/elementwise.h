// Pointwise operations on the CPU.
#pragma once

#include "backend/cpu/context.h"
#include "backend/elementwise.h"

namespace engine::cpu {

void activate(const CpuContext& context, const ActivateArgs& args);
void gated_gelu(const CpuContext& context, const GatedGeluArgs& args);
void add(const CpuContext& context, const AddArgs& args);
void convert(const CpuContext& context, const ConvertArgs& args);

}  // namespace engine::cpu
