// Reading and writing one element of a float tensor as float, whatever its dtype.
#pragma once

#include "core/tensor_view.h"

namespace engine::plain {

inline float load(const ConstTensorView& tensor, int64_t index) {
  switch (tensor.dtype()) {
    case DType::kF32:
      return tensor.f32()[index];
    case DType::kBF16:
      return float_from_bf16(tensor.bf16()[index]);
    case DType::kF16:
      return float_from_f16(tensor.bf16()[index]);
    case DType::kF64:
      return static_cast<float>(static_cast<const double*>(tensor.data())[index]);
    default:
      return 0.0f;
  }
}

// fp32 or bf16 (rounded to nearest even).
inline void store(const TensorView& tensor, int64_t index, double value) {
  const float rounded = static_cast<float>(value);
  if (tensor.dtype() == DType::kBF16) {
    tensor.bf16()[index] = bf16_from_float(rounded);
  } else {
    tensor.f32()[index] = rounded;
  }
}

}  // namespace engine::plain
