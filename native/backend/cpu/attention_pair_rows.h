// How attention in pairs of bf16 (attention_pairs.cpp) reads vectors of a head, packs them and
// writes them back. Only for kernel sources compiled for AVX512-BF16.
#pragma once

#include "backend/cpu/attention_rows.h"
#include "backend/cpu/exp2.h"

namespace engine::cpu::TOCAFARM_ISA {

namespace {

TOCAFARM_INLINE int64_t pairs_of(int64_t numbers) {
  return (numbers + 1) / 2;
}
// Pairs of a row that is a number of whole vectors.
TOCAFARM_INLINE int64_t padded_pairs(int64_t numbers) {
  return padded(pairs_of(numbers));
}

TOCAFARM_INLINE void store(Pair* to, Vec pairs) {
  __builtin_memcpy(to, &pairs, sizeof pairs);
}
TOCAFARM_INLINE Vec load_bits(const Pair* from) {
  Vec pairs;
  __builtin_memcpy(&pairs, from, sizeof pairs);
  return pairs;
}

// `count` numbers of bf16, at most two for each lane; the others are 0.
TOCAFARM_INLINE Vec load_numbers(const uint16_t* from, int64_t count) {
  if (count <= 0) return Vec{};
  const __mmask32 mask = count >= 2 * kLanes ? 0xffffffffu : (1u << count) - 1u;
  return reinterpret_cast<Vec>(_mm512_maskz_loadu_epi16(mask, from));
}

// Lane i holds first[i] and second[i], rounded to bf16.
TOCAFARM_INLINE Vec pair_up(Vec first, Vec second) {
  const auto both = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(second, first));
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24,
                                         8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return reinterpret_cast<Vec>(_mm512_permutexvar_epi16(order, both));
}

// Row `index` after `transform` as pairs along the width, the last vector filled up with 0. `row`
// is scratch for a padded row of fp32.
TOCAFARM_INLINE void read_pairs(const HeadRows& rows, const HeadTransform& transform, int64_t index,
                                int64_t width, float* row, Pair* to) {
  const int64_t wide = 2 * padded_pairs(width);
  if (transform.norm == nullptr && transform.cosines == nullptr && transform.factor == 1.0f) {
    const uint16_t* from = static_cast<const uint16_t*>(rows.data) + index * rows.stride;
    for (int64_t i = 0; i < wide; i += 2 * kLanes) {
      __builtin_prefetch(from + width + i, 0, 2);  // the next head's, as copy_row does
      store(to + i / 2, load_numbers(from + i, width - i));
    }
    return;
  }
  read_transformed(rows, transform, index, width, row);
  for (int64_t i = 0; i < wide; i += 2 * kLanes) {
    const Vec low = load(row + i), high = i + kLanes < width ? load(row + i + kLanes) : Vec{};
    store(to + i / 2, reinterpret_cast<Vec>(_mm512_cvtne2ps_pbh(high, low)));
  }
}

// Vectors [first, first + count) as columns of `packed` [pairs of the width, stride]; columns up to
// the next multiple of kLanes become 0. `scratch`: row_scratch_floats(width).
TOCAFARM_INLINE void pack_columns(const HeadRows& rows, const HeadTransform& transform,
                                  int64_t first, int64_t count, int64_t width, Pair* packed,
                                  int64_t stride, float* scratch) {
  const int64_t wide = padded_pairs(width), pairs = pairs_of(width);
  Pair* const lines = reinterpret_cast<Pair*>(scratch + padded(width));
  for (int64_t column = 0; column < count; column += kLanes) {
    for (int64_t j = 0; j < kLanes; ++j) {
      Pair* const line = lines + j * wide;
      if (column + j < count) {
        read_pairs(rows, transform, first + column + j, width, scratch, line);
      } else {
        for (int64_t i = 0; i < wide; i += kLanes) store(line + i, Vec{});
      }
    }
    for (int64_t i = 0; i < pairs; i += kLanes) {
      Vec square[kLanes];
#pragma GCC unroll 16
      for (int j = 0; j < kLanes; ++j) square[j] = load_bits(lines + j * wide + i);
      transpose(square);
      const int64_t left = pairs - i < kLanes ? pairs - i : kLanes;
      for (int64_t j = 0; j < left; ++j) store(packed + (i + j) * stride + column, square[j]);
    }
  }
}

TOCAFARM_INLINE int64_t row_scratch_floats(int64_t width) {
  return padded(width) + kLanes * padded_pairs(width);
}

// Vectors [first, first + count) transposed to `packed` [width, stride]: pairs of two vectors that
// follow each other, the last one's second number 0 if `count` is odd; then 0 up to the next
// multiple of kLanes pairs.
TOCAFARM_INLINE void pack_transposed(const HeadRows& rows, int64_t first, int64_t count,
                                     int64_t width, Pair* packed, int64_t stride) {
  const uint16_t* const data = static_cast<const uint16_t*>(rows.data) + first * rows.stride;
  for (int64_t pair = 0; pair < pairs_of(count); pair += kLanes) {
    for (int64_t i = 0; i < width; i += kLanes) {
      const int64_t left = width - i < kLanes ? width - i : kLanes;
      const __mmask16 mask = static_cast<__mmask16>((1u << left) - 1u);
      const auto numbers = [&](int64_t index) {
        if (index >= count) return _mm512_setzero_si512();
        const uint16_t* row = data + index * rows.stride + i;
        __builtin_prefetch(row + width, 0, 2);
        return _mm512_maskz_cvtepu16_epi32(kAll, _mm256_maskz_loadu_epi16(mask, row));
      };
      Vec square[kLanes];
#pragma GCC unroll 16
      for (int j = 0; j < kLanes; ++j) {
        const __m512i second = numbers(2 * (pair + j) + 1);
        square[j] = reinterpret_cast<Vec>(
            _mm512_or_si512(numbers(2 * (pair + j)), _mm512_maskz_slli_epi32(kAll, second, 16)));
      }
      transpose(square);
      for (int64_t j = 0; j < left; ++j) store(packed + (i + j) * stride + pair, square[j]);
    }
  }
}

// The first `count` lanes of columns [width, stride] as rows of bf16, times a factor for each lane.
TOCAFARM_INLINE void write_rows(const float* columns, int64_t stride, Vec factor, int64_t count,
                                int64_t width, uint16_t* to, int64_t to_stride) {
  for (int64_t i = 0; i < width; i += kLanes) {
    const int64_t left = width - i < kLanes ? width - i : kLanes;
    const __mmask16 mask = static_cast<__mmask16>((1u << left) - 1u);
    Vec square[kLanes] = {};
    for (int64_t j = 0; j < left; ++j) square[j] = load(columns + (i + j) * stride) * factor;
    transpose(square);
    for (int64_t j = 0; j < count; ++j) {
      const auto half = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(square[j]));
      _mm256_mask_storeu_epi16(to + j * to_stride + i, mask, half);
    }
  }
}

}  // namespace
}  // namespace engine::cpu::TOCAFARM_ISA
