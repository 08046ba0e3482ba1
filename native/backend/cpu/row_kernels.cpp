#include "backend/cpu/row_kernels.h"

#include "core/tensor_view.h"

namespace engine::cpu {

namespace {

int64_t scale_index(const ConstTensorView& tensor, int64_t element) {
  return element / tensor.dim(tensor.shape().rank() - 1);
}

}  // namespace

ConstRow row_of(const ConstTensorView& tensor, int64_t element) {
  if (tensor.dtype() == DType::kBF16) return {tensor.bf16() + element, RowType::kBF16};
  if (tensor.dtype() == DType::kF32) return {tensor.f32() + element};
  const float* const scale = tensor.scales() + scale_index(tensor, element);
  return {tensor.u8() + element, RowType::kF8, scale};
}

Row row_of(const TensorView& tensor, int64_t element) {
  if (tensor.dtype() == DType::kBF16) return {tensor.bf16() + element, RowType::kBF16};
  if (tensor.dtype() == DType::kF32) return {tensor.f32() + element};
  float* const scale = tensor.scales() + scale_index(tensor, element);
  return {tensor.u8() + element, RowType::kF8, scale};
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
