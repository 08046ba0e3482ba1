// Reading and writing elements of a float tensor as float, whatever its dtype.
#pragma once

#include <cmath>
#include <span>

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
    case DType::kF8: {
      const int64_t channels = tensor.dim(tensor.shape().rank() - 1);
      return float_from_f8(tensor.u8()[index]) * tensor.scales()[index / channels];
    }
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

// A row of the last axis: fp32, bf16 or fp8, whose scale comes from all of it.
inline void store_row(const TensorView& tensor, int64_t row, std::span<const float> values) {
  const int64_t first = row * static_cast<int64_t>(values.size());
  if (tensor.dtype() != DType::kF8) {
    for (size_t i = 0; i < values.size(); ++i) {
      store(tensor, first + static_cast<int64_t>(i), static_cast<double>(values[i]));
    }
    return;
  }
  float largest = 0.0f;
  for (const float value : values) {
    if (std::abs(value) > largest) largest = std::abs(value);
  }
  const float scale = f8_scale(largest);
  tensor.scales()[row] = scale;
  for (size_t i = 0; i < values.size(); ++i) {
    tensor.u8()[first + static_cast<int64_t>(i)] =
        f8_from_float(scale == 0.0f ? values[i] * 0.0f : values[i] / scale);
  }
}

}  // namespace engine::plain
