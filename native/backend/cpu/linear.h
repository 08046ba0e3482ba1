// Linear layers on the CPU (contracts in backend/linear.h).
#pragma once

#include <memory>

#include "backend/cpu/context.h"
#include "backend/linear.h"

namespace engine::cpu {

// weight: [out, in], any float dtype; bias: [out] or empty. The packed weights are for contexts of
// this instruction set only. compute = kBF16 without context.bf16_native: the weights are kept as
// bf16 and multiplied in fp32.
std::unique_ptr<LinearWeights> pack_linear(const CpuContext& context, ConstTensorView weight,
                                           ConstTensorView bias, DType compute);
void linear(const CpuContext& context, const LinearArgs& args);
void linear_residual(const CpuContext& context, const LinearResidualArgs& args);
void linear_scatter(const CpuContext& context, const LinearScatterArgs& args);

}  // namespace engine::cpu
