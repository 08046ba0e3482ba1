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

TEST(DTypeTest, KnowsSizesAndNames) {
  EXPECT_EQ(dtype_bytes(DType::kF64), 8u);
  EXPECT_EQ(dtype_bytes(DType::kBF16), 2u);
  EXPECT_EQ(dtype_bytes(DType::kU8), 1u);
  EXPECT_STREQ(dtype_name(DType::kF32), "fp32");
  EXPECT_STREQ(dtype_name(DType::kI64), "int64");
  EXPECT_TRUE(dtype_is_float(DType::kF16));
  EXPECT_FALSE(dtype_is_float(DType::kI32));
}

}  // namespace
}  // namespace engine
