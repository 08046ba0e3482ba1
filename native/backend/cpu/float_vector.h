// Vectors of floats as wide as the instruction set that a source is compiled for, and the few
// operations on them that the kernels of linear, convolution and attention need. Kernel sources are
// compiled once per instruction set, with TOCAFARM_ISA naming the namespace of that copy.
//
// Only for kernel sources. They include no other header with inline code: a function compiled for
// AVX-512 that the linker merges with its twin of another source would stop an older CPU.
#pragma once

#include <cstdint>
#include <utility>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace engine::cpu::TOCAFARM_ISA {

#if defined(__AVX512F__)
inline constexpr int kLanes = 16;
#elif defined(__AVX2__)
inline constexpr int kLanes = 8;
#else
inline constexpr int kLanes = 4;
#endif

namespace {

typedef float Vec __attribute__((vector_size(kLanes * 4)));
typedef int32_t IntVec __attribute__((vector_size(kLanes * 4)));
typedef uint32_t BitVec __attribute__((vector_size(kLanes * 4)));
typedef uint16_t HalfVec __attribute__((vector_size(kLanes * 2)));

#define TOCAFARM_INLINE [[gnu::always_inline]] inline

TOCAFARM_INLINE Vec load(const float* from) {
  Vec value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

TOCAFARM_INLINE Vec load(const uint16_t* from) {  // bf16
  HalfVec half;
  __builtin_memcpy(&half, from, sizeof half);
  return reinterpret_cast<Vec>(__builtin_convertvector(half, BitVec) << 16);
}

TOCAFARM_INLINE void store(float* to, Vec value) {
  __builtin_memcpy(to, &value, sizeof value);
}

// Rounds to the nearest bf16, ties to even; NaN stays NaN.
TOCAFARM_INLINE void store(uint16_t* to, Vec value) {
  const BitVec bits = reinterpret_cast<BitVec>(value);
  const BitVec rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const BitVec quiet = (bits >> 16) | 0x40u;
  const HalfVec half = __builtin_convertvector(value == value ? rounded : quiet, HalfVec);
  __builtin_memcpy(to, &half, sizeof half);
}

// The first `count` lanes; the others are zero, and untouched in memory.
TOCAFARM_INLINE Vec load_first(const float* from, int64_t count) {
#if defined(__AVX512F__)
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1u), from);
#else
  float lanes[kLanes] = {};
  for (int64_t i = 0; i < count; ++i) lanes[i] = from[i];
  return load(lanes);
#endif
}

TOCAFARM_INLINE Vec load_first(const uint16_t* from, int64_t count) {
  uint16_t lanes[kLanes] = {};
  for (int64_t i = 0; i < count; ++i) lanes[i] = from[i];
  return load(lanes);
}

TOCAFARM_INLINE void store_first(float* to, Vec value, int64_t count) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << count) - 1u), value);
#else
  float lanes[kLanes];
  store(lanes, value);
  for (int64_t i = 0; i < count; ++i) to[i] = lanes[i];
#endif
}

TOCAFARM_INLINE void store_first(uint16_t* to, Vec value, int64_t count) {
  uint16_t lanes[kLanes];
  store(lanes, value);
  for (int64_t i = 0; i < count; ++i) to[i] = lanes[i];
}

TOCAFARM_INLINE Vec broadcast(float value) {
#if defined(__AVX512F__)
  return _mm512_set1_ps(value);
#elif defined(__AVX2__)
  return _mm256_set1_ps(value);
#else
  return Vec{value, value, value, value};
#endif
}

// a · b + c, rounded once where the instruction set can.
TOCAFARM_INLINE Vec fma(Vec a, Vec b, Vec c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(__AVX2__)
  return _mm256_fmadd_ps(a, b, c);
#else
  return a * b + c;
#endif
}

// The factor of a row, fp32 or bf16, for all columns.
TOCAFARM_INLINE Vec spread(float value) {
  return broadcast(value);
}
TOCAFARM_INLINE Vec spread(uint16_t value) {
  return broadcast(__builtin_bit_cast(float, uint32_t{value} << 16));
}

#if defined(__AVX512BF16__)
// Two consecutive bf16 of a row, or of a column: one step of a product.
struct Pair {
  uint16_t numbers[2];
};

TOCAFARM_INLINE __m512bh load(const Pair* from) {
  __m512i value;
  __builtin_memcpy(&value, from, sizeof value);
  return reinterpret_cast<__m512bh>(value);
}
TOCAFARM_INLINE __m512bh spread(Pair value) {
  return reinterpret_cast<__m512bh>(_mm512_set1_epi32(__builtin_bit_cast(int32_t, value)));
}
// a[0] b[0] + a[1] b[1] + c, subnormal numbers as zero.
TOCAFARM_INLINE Vec fma(__m512bh a, __m512bh b, Vec c) {
  return _mm512_dpbf16_ps(c, a, b);
}
#endif

TOCAFARM_INLINE Vec max(Vec a, Vec b) {
  return a > b ? a : b;
}

using AllLanes = std::make_integer_sequence<int, kLanes>;

// Lane i holds what lane i ^ kStep held.
template <int kStep, int... kLane>
TOCAFARM_INLINE Vec exchange_lanes(Vec value, std::integer_sequence<int, kLane...>) {
  return __builtin_shufflevector(value, value, (kLane ^ kStep)...);
}

TOCAFARM_INLINE Vec square_root(Vec value) {
#if defined(__AVX512F__)
  return _mm512_maskz_sqrt_ps(0xffff, value);  // the plain one trips a warning of GCC 12
#elif defined(__AVX2__)
  return _mm256_sqrt_ps(value);
#else
  for (int i = 0; i < kLanes; ++i) value[i] = __builtin_sqrtf(value[i]);
  return value;
#endif
}

// Lanes are added in pairs, always in the same order.
template <int kStep = kLanes / 2>
TOCAFARM_INLINE float sum_lanes(Vec value) {
  const Vec folded = value + exchange_lanes<kStep>(value, AllLanes{});
  if constexpr (kStep > 1) {
    return sum_lanes<kStep / 2>(folded);
  } else {
    return folded[0];
  }
}

template <int kStep = kLanes / 2>
TOCAFARM_INLINE float max_lane(Vec value) {
  const Vec folded = max(value, exchange_lanes<kStep>(value, AllLanes{}));
  if constexpr (kStep > 1) {
    return max_lane<kStep / 2>(folded);
  } else {
    return folded[0];
  }
}

// Lanes 2i and 2i + 1 change places.
TOCAFARM_INLINE Vec swap_pairs(Vec value) {
  return exchange_lanes<1>(value, AllLanes{});
}

// One step of a transposition: exchanges the blocks of kStep lanes that stand across from each
// other in two rows kStep apart.
template <int kStep, int... kLane>
TOCAFARM_INLINE void exchange_blocks(Vec& upper, Vec& lower, std::integer_sequence<int, kLane...>) {
  const Vec a = upper, b = lower;
  upper = __builtin_shufflevector(a, b, ((kLane & kStep) == 0 ? kLane : kLanes + kLane - kStep)...);
  lower = __builtin_shufflevector(a, b, ((kLane & kStep) == 0 ? kLane + kStep : kLanes + kLane)...);
}

template <int kStep>
TOCAFARM_INLINE void transpose_from(Vec (&rows)[kLanes]) {
  if constexpr (kStep < kLanes) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) {
      if ((i & kStep) == 0) {
        exchange_blocks<kStep>(rows[i], rows[i + kStep], AllLanes{});
      }
    }
    transpose_from<kStep * 2>(rows);
  }
}

// A square of kLanes by kLanes.
TOCAFARM_INLINE void transpose(Vec (&rows)[kLanes]) {
  transpose_from<1>(rows);
}

// e^x for x <= 88, relative error below 1.2e-7; 0 below -86. x = n ln 2 + r, |r| <= ln 2 / 2, e^r
// by its Taylor series to r^7 (the first term left out is below 6e-9).
TOCAFARM_INLINE Vec exp(Vec x) {
  constexpr float kRound = 12582912.0f;  // 1.5 · 2^23: adding it leaves an integer in the low bits
  const Vec bounded = max(x, broadcast(-86.0f));
  const Vec shifted = fma(bounded, broadcast(1.44269504f), broadcast(kRound));
  const Vec n = shifted - kRound;
  const Vec high = fma(n, broadcast(-0.693359375f), bounded);  // exact: 9 bits of ln 2
  const Vec r = fma(n, broadcast(2.12194440e-4f), high);
  Vec tail = broadcast(1.0f / 5040.0f);
  tail = fma(tail, r, broadcast(1.0f / 720.0f));
  tail = fma(tail, r, broadcast(1.0f / 120.0f));
  tail = fma(tail, r, broadcast(1.0f / 24.0f));
  tail = fma(tail, r, broadcast(1.0f / 6.0f));
  tail = fma(tail, r, broadcast(0.5f));
  const Vec mantissa = fma(tail, r * r, r) + 1.0f;
  const BitVec exponent = reinterpret_cast<BitVec>(shifted) << 23;
  const Vec result = reinterpret_cast<Vec>(reinterpret_cast<BitVec>(mantissa) + exponent);
  return x < -86.0f ? Vec{} : result;
}

// ln x of positive, normal x as exponent · ln 2 + mantissa with |mantissa| <= ln 2 / 2: kept apart,
// a sum of many loses nothing. ln m = 2 artanh((m - 1) / (m + 1)), by its series to the 9th power.
struct LogParts {
  Vec exponent, mantissa;
};

TOCAFARM_INLINE LogParts log_parts(Vec x) {
  constexpr int32_t kSqrtHalf = 0x3f3504f3;  // bits of sqrt(1/2)
  const IntVec bits = reinterpret_cast<IntVec>(x) - kSqrtHalf;
  const Vec m = reinterpret_cast<Vec>((bits & 0x007fffff) + kSqrtHalf);
  const Vec s = (m - 1.0f) / (m + 1.0f);
  const Vec square = s * s;
  Vec series = broadcast(1.0f / 9.0f);
  series = fma(series, square, broadcast(1.0f / 7.0f));
  series = fma(series, square, broadcast(1.0f / 5.0f));
  series = fma(series, square, broadcast(1.0f / 3.0f));
  const Vec mantissa = 2.0f * fma(series * square, s, s);
  return {__builtin_convertvector(bits >> 23, Vec), mantissa};
}

// float_from_f8() of core/dtype.cpp, without a branch.
TOCAFARM_INLINE float float_of_f8(uint8_t bits) {
  const uint32_t magnitude = bits & 0x7fu;
  const uint32_t sign = static_cast<uint32_t>(bits & 0x80u) << 24;
  const float subnormal = static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-9f;
  const uint32_t number =
      magnitude < 8u ? __builtin_bit_cast(uint32_t, subnormal) : (magnitude << 20) + 0x3c000000u;
  const uint32_t kept = magnitude == 0x7fu ? 0x7fc00000u : number;
  return __builtin_bit_cast(float, kept | sign);
}

// A row of fp8 as the floats that it stands for.
struct F8Row {
  const uint8_t* bits;
  float scale;
  TOCAFARM_INLINE float operator[](int64_t i) const { return float_of_f8(bits[i]) * scale; }
  TOCAFARM_INLINE F8Row operator+(int64_t i) const { return {bits + i, scale}; }
};

}  // namespace
}  // namespace engine::cpu::TOCAFARM_ISA
