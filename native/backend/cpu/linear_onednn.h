// Linear layers by oneDNN's blocked matmul, for CPUs that multiply bf16 in tiles (AMX).
//
// Only implementations that oneDNN calls "brg" are used: their bits were found to be the same for
// any number of rows and threads (linear_test.cpp holds them to it), since a sum runs over the
// whole depth in one thread. Others (oneDNN's AVX2 and older gemm) do not keep that promise; there
// linear_panels.h does the work.
#pragma once

#include <memory>

#include "backend/cpu/context.h"
#include "backend/linear.h"

namespace engine::cpu {

// Null when this machine has no such implementation for the shape.
std::unique_ptr<LinearWeights> pack_linear_onednn(const CpuContext& context, ConstTensorView weight,
                                                  ConstTensorView bias, DType compute);

// Runs if the weights come from pack_linear_onednn; else false, and nothing is done.
bool linear_onednn(const CpuContext& context, const LinearArgs& args);

// "2.6.3".
const char* onednn_version();

}  // namespace engine::cpu
