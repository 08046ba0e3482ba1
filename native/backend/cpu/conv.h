// Channels-last convolution on the CPU (contracts in backend/conv.h).
#pragma once

#include <memory>

#include "backend/conv.h"
#include "backend/cpu/context.h"

namespace engine::cpu {

// weight: [out, in, kt, kh, kw] or [out, in, kh, kw], bias: [out] or empty; fp32. compute: kF32 or
// kBF16. The packed weights are for contexts of this instruction set only.
std::unique_ptr<ConvWeights> pack_conv(const CpuContext& context, ConstTensorView weight,
                                       ConstTensorView bias, ConvGeometry geometry, DType compute);
void conv(const CpuContext& context, const ConvArgs& args);

}  // namespace engine::cpu
