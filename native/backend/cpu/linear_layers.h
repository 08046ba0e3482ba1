// Linear layers on AVX-512 by kernels that finish a product in registers (layer_kernels.h): fp32,
// and bf16 where the CPU multiplies it. The same bits on any number of rows and threads.
#pragma once

#include <memory>

#include "backend/cpu/context.h"
#include "backend/cpu/linear_kernels.h"
#include "backend/linear.h"

namespace engine::cpu {

// For contexts of kAvx512, and with compute = kBF16 only of bf16_native.
std::unique_ptr<LinearWeights> pack_layer(const CpuContext& context, ConstTensorView weight,
                                          ConstTensorView bias, DType compute);

// Run if the weights come from pack_layer; else false, and nothing is done.
bool run_layer(const CpuContext& context, const LinearArgs& args);
bool run_layer(const CpuContext& context, const LinearResidualArgs& args);
bool run_layer(const CpuContext& context, const LinearScatterArgs& args);

Epilogue epilogue_of(Activation activation);

}  // namespace engine::cpu
