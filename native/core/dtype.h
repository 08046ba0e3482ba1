// Element types of tensors. Floats of checkpoints may be kF32, kF16, kBF16 or kF64; the engine
// computes in kF32 and kBF16, and caches may hold kF8 beside them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace engine {

enum class DType : uint8_t { kF32, kF16, kBF16, kF64, kI64, kI32, kU8, kF8 };

size_t dtype_bytes(DType dtype);
const char* dtype_name(
    DType dtype);  // "fp32", "fp16", "bf16", "fp64", "int64", "int32", "uint8", "fp8"
// Of those that a checkpoint may hold.
bool dtype_is_float(DType dtype);

// Round to nearest even; NaN stays NaN.
uint16_t bf16_from_float(float value);
float float_from_bf16(uint16_t bits);
uint16_t f16_from_float(float value);
float float_from_f16(uint16_t bits);

// fp8 is e4m3: 4 bits of exponent with bias 7, 3 of mantissa, no infinities (Micikevicius and
// others, arXiv 2209.05433). Elements of a row share one scale, so that its largest magnitude is
// kF8Largest: an element is bits · scale.
inline constexpr float kF8Largest = 448.0f;
// Round to nearest even; beyond the largest it is the largest; NaN stays NaN.
uint8_t f8_from_float(float value);
float float_from_f8(uint8_t bits);
// The scale of a row whose largest magnitude, leaving NaN out, is `largest`. Infinities count as
// the largest finite float. 0 where no float is small enough: then the row is zeros.
float f8_scale(float largest);

}  // namespace engine
