// Element types of tensors. Floats of checkpoints may be any of them; the engine computes in kF32
// and kBF16.
#pragma once

#include <cstddef>
#include <cstdint>

namespace engine {

enum class DType : uint8_t { kF32, kF16, kBF16, kF64, kI64, kI32, kU8 };

size_t dtype_bytes(DType dtype);
const char* dtype_name(DType dtype);  // "fp32", "fp16", "bf16", "fp64", "int64", "int32", "uint8"
bool dtype_is_float(DType dtype);

// Round to nearest even; NaN stays NaN.
uint16_t bf16_from_float(float value);
float float_from_bf16(uint16_t bits);
uint16_t f16_from_float(float value);
float float_from_f16(uint16_t bits);

}  // namespace engine
