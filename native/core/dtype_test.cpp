// The 16-bit floats are tested whole: every value, and every boundary between neighbours.
#include "core/dtype.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

namespace engine {
namespace {

// For neighbours a < b (bit patterns a, a + 1), the middle goes to the even one and a hair to
// either side of it to the nearer one.
template <typename FromFloat, typename ToFloat>
void expect_nearest_even(uint16_t a, FromFloat from_float, ToFloat to_float) {
  const uint16_t b = static_cast<uint16_t>(a + 1);
  const auto middle = static_cast<float>((double{to_float(a)} + double{to_float(b)}) / 2);
  const float up = std::nextafter(middle, std::numeric_limits<float>::infinity());
  const float down = std::nextafter(middle, -std::numeric_limits<float>::infinity());
  ASSERT_EQ(from_float(middle), a % 2 == 0 ? a : b) << a;
  ASSERT_EQ(from_float(up), b) << a;
  ASSERT_EQ(from_float(down), a) << a;
  ASSERT_EQ(from_float(-up), b | 0x8000) << a;
}

TEST(DTypeTest, EveryFp16ValueSurvivesTheWayThroughFp32) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = float_from_f16(static_cast<uint16_t>(bits));
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(float_from_f16(f16_from_float(value))));
    } else {
      ASSERT_EQ(f16_from_float(value), bits);
    }
  }
}

TEST(DTypeTest, Fp16RoundsToNearestEven) {
  for (uint16_t bits = 0; bits < 0x7bff; ++bits) {
    expect_nearest_even(bits, f16_from_float, float_from_f16);
  }
  EXPECT_EQ(f16_from_float(65519.0f), 0x7bff);  // below the middle to 65536
  EXPECT_EQ(f16_from_float(65520.0f), 0x7c00);
  EXPECT_EQ(f16_from_float(1e30f), 0x7c00);
  EXPECT_EQ(f16_from_float(-1e30f), 0xfc00);
  EXPECT_EQ(f16_from_float(1e-30f), 0);
}

TEST(DTypeTest, Fp16ValuesAreRight) {
  EXPECT_EQ(float_from_f16(0x3c00), 1.0f);
  EXPECT_EQ(float_from_f16(0xc100), -2.5f);
  EXPECT_EQ(float_from_f16(0x0001), 0x1p-24f);
  EXPECT_EQ(float_from_f16(0x83ff), -0x1.ff8p-15f);
  EXPECT_TRUE(std::isinf(float_from_f16(0x7c00)));
  EXPECT_TRUE(std::isnan(float_from_f16(0x7c01)));
  EXPECT_TRUE(std::signbit(float_from_f16(0x8000)));
}

TEST(DTypeTest, EveryBf16ValueSurvivesTheWayThroughFp32) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = float_from_bf16(static_cast<uint16_t>(bits));
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(float_from_bf16(bf16_from_float(value))));
    } else {
      ASSERT_EQ(bf16_from_float(value), bits);
    }
  }
}

TEST(DTypeTest, Bf16RoundsToNearestEven) {
  for (uint16_t bits = 0; bits < 0x7f7f; ++bits) {
    expect_nearest_even(bits, bf16_from_float, float_from_bf16);
  }
  EXPECT_EQ(bf16_from_float(std::numeric_limits<float>::max()), 0x7f80);
}

TEST(DTypeTest, ANanWhosePayloadIsCutStaysANan) {
  const float nan = std::bit_cast<float>(0x7f800001u);
  EXPECT_TRUE(std::isnan(float_from_bf16(bf16_from_float(nan))));
  EXPECT_TRUE(std::isnan(float_from_f16(f16_from_float(nan))));
}

TEST(DTypeTest, EveryFp8ValueSurvivesTheWayThroughFp32) {
  for (uint32_t bits = 0; bits < 0x100; ++bits) {
    const float value = float_from_f8(static_cast<uint8_t>(bits));
    if ((bits & 0x7fu) == 0x7fu) {
      ASSERT_TRUE(std::isnan(value) && std::isnan(float_from_f8(f8_from_float(value))));
    } else {
      ASSERT_EQ(f8_from_float(value), bits);
      // e4m3 by its definition: (-1)^s 2^(e - 7) (1 + m / 8), or 2^-6 m / 8 where e is 0.
      const int exponent = static_cast<int>(bits >> 3 & 15u);
      const int mantissa = static_cast<int>((exponent == 0 ? 0u : 8u) + (bits & 7u));
      const double size = std::ldexp(mantissa, std::max(exponent, 1) - 10);
      ASSERT_EQ(static_cast<double>(value), (bits & 0x80u) != 0 ? -size : size);
    }
  }
}

TEST(DTypeTest, Fp8RoundsToNearestEvenAndSaturates) {
  for (uint8_t bits = 0; bits < 0x7e; ++bits) {
    const float low = float_from_f8(bits), high = float_from_f8(static_cast<uint8_t>(bits + 1));
    const float middle = (low + high) / 2;  // exact
    const uint32_t even = (bits & 1u) == 0 ? bits : bits + 1u;
    ASSERT_EQ(f8_from_float(middle), even);
    ASSERT_EQ(f8_from_float(std::nextafter(middle, low)), bits);
    ASSERT_EQ(f8_from_float(std::nextafter(middle, high)), bits + 1);
    ASSERT_EQ(f8_from_float(-middle), even | 0x80u);
  }
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(float_from_f8(f8_from_float(1e30f)), kF8Largest);
  EXPECT_EQ(float_from_f8(f8_from_float(-kInfinity)), -kF8Largest);
}

TEST(DTypeTest, Fp8ScalesFitTheLargestOfARow) {
  EXPECT_EQ(f8_scale(448.0f), 1.0f);
  EXPECT_EQ(f8_scale(0.0f), 0.0f);
  constexpr float kLargest = std::numeric_limits<float>::max();
  EXPECT_EQ(f8_scale(std::numeric_limits<float>::infinity()), f8_scale(kLargest));
}

TEST(DTypeTest, KnowsSizesAndNames) {
  EXPECT_EQ(dtype_bytes(DType::kF64), 8u);
  EXPECT_EQ(dtype_bytes(DType::kBF16), 2u);
  EXPECT_EQ(dtype_bytes(DType::kU8), 1u);
  EXPECT_EQ(dtype_bytes(DType::kF8), 1u);
  EXPECT_STREQ(dtype_name(DType::kF8), "fp8");
  EXPECT_STREQ(dtype_name(DType::kF32), "fp32");
  EXPECT_STREQ(dtype_name(DType::kI64), "int64");
  EXPECT_TRUE(dtype_is_float(DType::kF16));
  EXPECT_FALSE(dtype_is_float(DType::kI32));
}

}  // namespace
}  // namespace engine
