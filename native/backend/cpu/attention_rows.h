// How attention kernels read vectors of a head and pack them for products: rows padded to whole
// vectors, keys transposed so that one vector holds one component of several keys.
#pragma once

#include "backend/cpu/attention_kernels.h"
#include "backend/cpu/float_vector.h"

namespace engine::cpu::TOCAFARM_ISA {

namespace {

TOCAFARM_INLINE int64_t padded(int64_t count) {
  return (count + kLanes - 1) / kLanes * kLanes;
}

// The row of the next head begins where this one ends, and is read next by the same thread: rows of
// one head are far apart, so no hardware prefetcher sees that coming.
template <typename Element>
TOCAFARM_INLINE void copy_row(const Element* from, int64_t width, float* to) {
  constexpr int64_t kLineElements = 64 / sizeof(Element);
  for (int64_t i = 0; i < width; i += kLineElements) __builtin_prefetch(from + width + i, 0, 2);
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) store(to + i, load(from + i));
  if (i < width) store(to + i, load_first(from + i, width - i));
}

// Row `index` as fp32; lanes past its width are 0.
TOCAFARM_INLINE void read_row(const HeadRows& rows, int64_t index, int64_t width, float* to) {
  if (rows.bf16) {
    copy_row(static_cast<const uint16_t*>(rows.data) + index * rows.stride, width, to);
  } else {
    copy_row(static_cast<const float*>(rows.data) + index * rows.stride, width, to);
  }
}

// norm ⊙ x / sqrt(mean(x²) + eps), in place.
TOCAFARM_INLINE void normalise_row(const HeadTransform& transform, int64_t width, float* row) {
  Vec squares{};
  for (int64_t i = 0; i < width; i += kLanes) {
    const Vec x = load(row + i);
    squares = fma(x, x, squares);
  }
  const float mean = sum_lanes(squares) / static_cast<float>(width);
  const Vec inverse = broadcast(1.0f / __builtin_sqrtf(mean + transform.eps));
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    store(row + i, load(row + i) * inverse * load(transform.norm + i));
  }
  if (i < width) {
    store(row + i, load(row + i) * inverse * load_first(transform.norm + i, width - i));
  }
}

// Reads a row and applies the transform to it.
TOCAFARM_INLINE void read_transformed(const HeadRows& rows, const HeadTransform& transform,
                                      int64_t index, int64_t width, float* to) {
  read_row(rows, index, width, to);
  if (transform.norm != nullptr) normalise_row(transform, width, to);
  const int64_t wide = padded(width);
  if (transform.cosines != nullptr) {
    const float* cosines = transform.cosines + index * wide;
    const float* sines = transform.sines + index * wide;
    for (int64_t i = 0; i < wide; i += kLanes) {
      const Vec x = load(to + i);
      store(to + i, fma(x, load(cosines + i), swap_pairs(x) * load(sines + i)));
    }
  }
  if (transform.factor != 1.0f) {
    for (int64_t i = 0; i < wide; i += kLanes) store(to + i, load(to + i) * transform.factor);
  }
}

// Keys [first, first + count) as columns [0, count) of `packed` [width, stride]; columns up to the
// next multiple of kLanes become 0. `rows` is scratch for kLanes padded rows.
TOCAFARM_INLINE void pack_keys(const HeadRows& keys, const HeadTransform& transform, int64_t first,
                               int64_t count, int64_t width, float* packed, int64_t stride,
                               float* rows) {
  const int64_t wide = padded(width);
  for (int64_t column = 0; column < count; column += kLanes) {
    for (int64_t j = 0; j < kLanes; ++j) {
      float* row = rows + j * wide;
      if (column + j < count) {
        read_transformed(keys, transform, first + column + j, width, row);
      } else {
        for (int64_t i = 0; i < wide; i += kLanes) store(row + i, Vec{});
      }
    }
    for (int64_t i = 0; i < wide; i += kLanes) {
      Vec square[kLanes];
#pragma GCC unroll 16
      for (int j = 0; j < kLanes; ++j) square[j] = load(rows + j * wide + i);
      transpose(square);
      const int64_t left = width - i < kLanes ? width - i : kLanes;
      for (int64_t j = 0; j < left; ++j) store(packed + (i + j) * stride + column, square[j]);
    }
  }
}

TOCAFARM_INLINE void pack_values(const HeadRows& values, int64_t first, int64_t count,
                                 int64_t width, float* packed) {
  for (int64_t j = 0; j < count; ++j)
    read_row(values, first + j, width, packed + j * padded(width));
}

}  // namespace
}  // namespace engine::cpu::TOCAFARM_ISA
