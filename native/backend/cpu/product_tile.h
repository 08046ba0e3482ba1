// The inner loop of every product of matrices that is not oneDNN's: a tile of kTileRows rows by a
// few vectors of columns, held in registers while the depth runs. Every sum runs over the depth in
// ascending order, one multiply-add after the other, so its bits depend neither on the tile that it
// falls into nor on how the work is split.
//
// Rows are fp32, bf16, or Pairs of bf16 that one instruction multiplies and adds (float_vector.h);
// b is fp32 or bf16, or Pairs where the rows are. A depth of n Pairs is 2 n numbers.
#pragma once

#include "backend/cpu/float_vector.h"

namespace engine::cpu::TOCAFARM_ISA {

// Registers: rows · vectors accumulators, the vectors of one line of b, and one broadcast. A tall
// tile is for few columns: sums must be many enough to hide the latency of a multiply-add.
inline constexpr int kTileRows = 6;
inline constexpr int kTallTileRows = 12;
inline constexpr int kTileVecs = kLanes == 16 ? 4 : 2;

namespace {

// c[r, :] = (add ? c[r, :] : 0) + Σ_t Σ_i a[t][r][i] · b[t · depth + i, :], t < taps, i < depth.
template <typename Row>
struct RowsProduct {
  const Row* const* a;  // row r of tap t begins at a[t * tap_stride + r] + offset
  int64_t tap_stride;
  int64_t offset;
  int64_t taps;
  int64_t depth;
  int64_t b_stride;  // of b: [taps · depth, b_stride]
  float* c;          // [kRows, c_stride]
  int64_t c_stride;
  bool add;
};
using TileProduct = RowsProduct<float>;

template <int kRows, int kVecs, typename Row, typename Element>
TOCAFARM_INLINE void multiply_tile(const RowsProduct<Row>& product, const Element* b) {
  Vec sum[kRows][kVecs];
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; ++v) {
      sum[r][v] = product.add ? load(product.c + r * product.c_stride + v * kLanes) : Vec{};
    }
  }
  const int64_t depth = product.depth, b_stride = product.b_stride;
  for (int64_t t = 0; t < product.taps; ++t) {
    const Row* row[kRows];
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) row[r] = product.a[t * product.tap_stride + r] + product.offset;
    for (int64_t i = 0; i < depth; ++i, b += b_stride) {
      decltype(load(b)) line[kVecs];
#pragma GCC unroll 8
      for (int v = 0; v < kVecs; ++v) line[v] = load(b + v * kLanes);
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r) {
        const auto factor = spread(row[r][i]);
#pragma GCC unroll 8
        for (int v = 0; v < kVecs; ++v) sum[r][v] = fma(factor, line[v], sum[r][v]);
      }
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; ++v) {
      store(product.c + r * product.c_stride + v * kLanes, sum[r][v]);
    }
  }
}

// The same for 1 to kTileRows rows.
template <int kVecs, typename Row, typename Element>
TOCAFARM_INLINE void multiply_rows(int64_t rows, const RowsProduct<Row>& product,
                                   const Element* b) {
  static_assert(kTileRows == 6);
  switch (rows) {
    case 1:
      return multiply_tile<1, kVecs>(product, b);
    case 2:
      return multiply_tile<2, kVecs>(product, b);
    case 3:
      return multiply_tile<3, kVecs>(product, b);
    case 4:
      return multiply_tile<4, kVecs>(product, b);
    case 5:
      return multiply_tile<5, kVecs>(product, b);
    default:
      return multiply_tile<6, kVecs>(product, b);
  }
}

// The same for 1 to kTileVecs vectors of columns.
template <typename Row, typename Element>
TOCAFARM_INLINE void multiply_columns(int64_t vecs, int64_t rows, const RowsProduct<Row>& product,
                                      const Element* b) {
  static_assert(kTileVecs == 2 || kTileVecs == 4);
  if (vecs == 1) return multiply_rows<1>(rows, product, b);
  if (vecs == 2) return multiply_rows<2>(rows, product, b);
  if constexpr (kTileVecs == 4) {
    if (vecs == 3) return multiply_rows<3>(rows, product, b);
    return multiply_rows<4>(rows, product, b);
  }
}

}  // namespace
}  // namespace engine::cpu::TOCAFARM_ISA
