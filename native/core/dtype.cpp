// Sizes and names of element types, and the two 16-bit float formats in software. The conversions
// are integer and plain float arithmetic without branches on the data, so that loops over them
// vectorise.
#include "core/dtype.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "core/check.h"

namespace engine {

size_t dtype_bytes(DType dtype) {
  switch (dtype) {
    case DType::kF64:
    case DType::kI64:
      return 8;
    case DType::kF32:
    case DType::kI32:
      return 4;
    case DType::kF16:
    case DType::kBF16:
      return 2;
    case DType::kU8:
    case DType::kF8:
      return 1;
  }
  check(false, "unknown dtype");
  return 0;
}

const char* dtype_name(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "fp32";
    case DType::kF16:
      return "fp16";
    case DType::kBF16:
      return "bf16";
    case DType::kF64:
      return "fp64";
    case DType::kI64:
      return "int64";
    case DType::kI32:
      return "int32";
    case DType::kU8:
      return "uint8";
    case DType::kF8:
      return "fp8";
  }
  check(false, "unknown dtype");
  return "";
}

bool dtype_is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16 ||
         dtype == DType::kF64;
}

uint16_t bf16_from_float(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  // A NaN keeps its sign and upper payload; the quiet bit keeps it a NaN when the payload is cut.
  const uint32_t quiet_nan = (bits >> 16) | 0x40u;
  const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return static_cast<uint16_t>(is_nan ? quiet_nan : rounded);
}

float float_from_bf16(uint16_t bits) {
  return std::bit_cast<float>(uint32_t{bits} << 16);
}

uint16_t f16_from_float(float value) {
  constexpr uint32_t kInfinity = 0x7f800000u;
  constexpr uint32_t kOverflow = 0x47800000u;   // 65536: rounds to infinity, as does all above
  constexpr uint32_t kMinNormal = 0x38800000u;  // 2^-14
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t magnitude = bits & 0x7fffffffu;
  const uint32_t sign = (bits >> 16) & 0x8000u;
  if (magnitude > kInfinity) {
    return static_cast<uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
  }
  if (magnitude >= kOverflow) return static_cast<uint16_t>(sign | 0x7c00u);
  if (magnitude < kMinNormal) {
    // Adding 0.5 moves the subnormal's last bit (2^-24) to the last bit of a float in [0.5, 1), so
    // the adder itself rounds to nearest even.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000u));
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

float float_from_f16(uint16_t bits) {
  const uint32_t magnitude = bits & 0x7fffu;
  const uint32_t sign = uint32_t{bits & 0x8000u} << 16;
  // A subnormal is mantissa * 2^-24, exactly.
  const float subnormal = static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-24f;
  const uint32_t rebias = magnitude >= 0x7c00u ? 0x70000000u : 0x38000000u;
  const uint32_t normal = (magnitude << 13) + rebias;
  const uint32_t result = magnitude < 0x400u ? std::bit_cast<uint32_t>(subnormal) : normal;
  return std::bit_cast<float>(result | sign);
}

uint8_t f8_from_float(float value) {
  constexpr uint32_t kMinNormal = 0x3c800000u;  // 2^-6
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 24) & 0x80u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint8_t>(sign | 0x7fu);
  const uint32_t bounded = std::min(magnitude, std::bit_cast<uint32_t>(kF8Largest));
  if (bounded < kMinNormal) {
    // Adding 2^14 moves the subnormal's last bit (2^-9) to the last bit of the sum, so the adder
    // itself rounds to nearest even.
    const float shifted = std::bit_cast<float>(bounded) + 0x1p14f;
    return static_cast<uint8_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x46800000u));
  }
  const uint32_t rounded = bounded + 0x7ffffu + ((bounded >> 20) & 1u);
  return static_cast<uint8_t>(sign | ((rounded - 0x3c000000u) >> 20));
}

float float_from_f8(uint8_t bits) {
  const uint32_t magnitude = bits & 0x7fu;
  const uint32_t sign = uint32_t{bits & 0x80u} << 24;
  // A subnormal is mantissa * 2^-9, exactly.
  const float subnormal = static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-9f;
  const uint32_t number =
      magnitude < 8u ? std::bit_cast<uint32_t>(subnormal) : (magnitude << 20) + 0x3c000000u;
  return std::bit_cast<float>((magnitude == 0x7fu ? 0x7fc00000u : number) | sign);
}

float f8_scale(float largest) {
  return std::min(largest, std::numeric_limits<float>::max()) / kF8Largest;
}

}  // namespace engine
