#include "backend/cpu/row_kernels.h"

#include "core/tensor_view.h"

namespace engine::cpu {

ConstRow row_of(const ConstTensorView& tensor, int64_t element) {
  if (tensor.dtype() == DType::kBF16) return {tensor.bf16() + element, true};
  return {tensor.f32() + element, false};
}

Row row_of(const TensorView& tensor, int64_t element) {
  if (tensor.dtype() == DType::kBF16) return {tensor.bf16() + element, true};
  return {tensor.f32() + element, false};
}

const PointwiseKernels& pointwise_kernels(Isa isa) {
  if (isa == Isa::kAvx512) return avx512::kPointwiseKernels;
  return isa == Isa::kAvx2 ? avx2::kPointwiseKernels : baseline::kPointwiseKernels;
}

const ReductionKernels& reduction_kernels(Isa isa) {
  if (isa == Isa::kAvx512) return avx512::kReductionKernels;
  return isa == Isa::kAvx2 ? avx2::kReductionKernels : baseline::kReductionKernels;
}

}  // namespace engine::cpu
