// A block of rows times a panel of columns (layer_kernels.h), compiled for AVX-512 with fp32 and
// with pairs of bf16.
//
// Bound by the multiply-add units: a tile keeps 24 vectors of sums in registers, and each line of
// the panel is loaded once for all rows of the tile. Every sum runs over the depth in ascending
// order, so its bits depend neither on the tile nor on the rows beside it. The depth is cut into
// pieces of kPieceSteps, so that a piece of the panel (128 KiB) stays in the second-level cache
// while all rows of the block pass; partial sums wait in `sums` as fp32, which is what they are in
// registers, so the cut changes no bit. A tile at the end of the block repeats its last row.
#include "backend/cpu/layer_kernels.h"

#include "backend/cpu/exp2.h"
#include "backend/cpu/float_vector.h"

namespace engine::cpu::TOCAFARM_ISA {

namespace {

constexpr int64_t kPieceSteps = 512;

#if defined(__AVX512BF16__)
using Step = Pair;

TOCAFARM_INLINE void put(uint16_t* to, Vec value) {
  const __m256bh half = _mm512_cvtneps_pbh(value);
  __builtin_memcpy(to, &half, sizeof half);
}
#else
using Step = float;

TOCAFARM_INLINE void put(uint16_t* to, Vec value) {
  store(to, value);
}
#endif
TOCAFARM_INLINE void put(float* to, Vec value) {
  store(to, value);
}

// What is left of a row at its end.
template <typename Output>
TOCAFARM_INLINE void put_first(Output* to, Vec value, int64_t count) {
  if (count >= kLanes) return put(to, value);
  Output lanes[kLanes];
  put(lanes, value);
  for (int64_t i = 0; i < count; ++i) to[i] = lanes[i];
}

// SiLU: x / (1 + e^-x). GELU: 0.5 x (1 + tanh u) = x / (1 + e^-2u), u = sqrt(2 / π) (x + 0.044715
// x³).
template <Epilogue kEpilogue, typename Output>
TOCAFARM_INLINE Vec activated(Vec x) {
  constexpr float kLog2E = 1.44269504f;
  constexpr float kLinear = -1.59576912f * kLog2E, kCubic = 0.044715f * kLinear;
  if constexpr (kEpilogue == Epilogue::kSilu) return x / (1.0f + exp2<Output>(x * -kLog2E));
  if constexpr (kEpilogue == Epilogue::kGeluTanh) {
    const Vec exponent = x * fma(x * x, broadcast(kCubic), broadcast(kLinear));
    return x / (1.0f + exp2<Output>(exponent));
  }
  return x;
}

// One vector of a row's sums. `count`: how many of its columns exist.
template <Epilogue kEpilogue, typename Output>
TOCAFARM_INLINE void finish(const LayerProduct& product, const LayerRow& row, int64_t column,
                            int64_t count, Vec sum) {
  const int64_t place = product.first_column + column;
  const Vec value = activated<kEpilogue, Output>(sum);
  if (row.output != nullptr) put_first(static_cast<Output*>(row.output) + place, value, count);
  if (row.residual == nullptr) return;
  float* const x = row.residual + place;
  const Vec gate = row.gate == nullptr ? broadcast(1.0f) : load_first(row.gate + place, count);
  store_first(x, load_first(x, count) + gate * value, count);
}

// A row of a whole panel.
template <Epilogue kEpilogue, typename Output, int kVectors>
TOCAFARM_INLINE void finish_whole(const LayerProduct& product, const LayerRow& row,
                                  Vec (&sum)[kVectors]) {
  Output* const output = static_cast<Output*>(row.output);
  if (output != nullptr) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      put(output + product.first_column + v * kLanes, activated<kEpilogue, Output>(sum[v]));
    }
  }
  if constexpr (kEpilogue == Epilogue::kNone && sizeof(Output) == sizeof(float)) {
    if (row.residual == nullptr) return;
    float* const x = row.residual + product.first_column;
    const float* const gate = row.gate == nullptr ? nullptr : row.gate + product.first_column;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const Vec value = gate == nullptr ? sum[v] : load(gate + v * kLanes) * sum[v];
      store(x + v * kLanes, load(x + v * kLanes) + value);
    }
  }
}

// Rows of the block whose sums lie in `sums`, one vector after the other.
template <Epilogue kEpilogue, typename Output>
[[gnu::noinline]] void finish_rows(const LayerProduct& product, int64_t first, int64_t count) {
  const int64_t width = product.panel_vectors * kLanes;
  for (int64_t row = first; row < first + count; ++row) {
    for (int64_t column = 0; column < product.columns; column += kLanes) {
      const int64_t left = product.columns - column;
      finish<kEpilogue, Output>(product, product.rows[row], column, left < kLanes ? left : kLanes,
                                load(product.sums + row * width + column));
    }
  }
}

// Steps [first, last) of the depth.
struct Piece {
  int64_t first, last;
};

// Rows [row, row + kRows) of the block, as far as they exist.
template <int kRows, int kVectors, Epilogue kEpilogue, typename Output>
TOCAFARM_INLINE void multiply_tile(const LayerProduct& product, const Piece& piece, int64_t row) {
  constexpr int64_t kColumns = kVectors * kLanes;
  const int64_t count = product.row_count - row < kRows ? product.row_count - row : kRows;
  const Step* input[kRows];
  Vec sum[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    input[r] = static_cast<const Step*>(product.rows[row + (r < count ? r : count - 1)].input);
  }
  float* const sums = product.sums + row * kColumns;
  const float* const start = piece.first == 0 ? product.bias : sums;
  const int64_t start_stride = piece.first == 0 ? 0 : kColumns;
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[r][v] = load(start + r * start_stride + v * kLanes);
  }
  const Step* line = static_cast<const Step*>(product.panel) + piece.first * kColumns;
  for (int64_t i = piece.first; i < piece.last; ++i, line += kColumns) {
    decltype(load(line)) values[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) values[v] = load(line + v * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const auto factor = spread(input[r][i]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[r][v] = fma(factor, values[v], sum[r][v]);
    }
  }
  const bool last = piece.last == product.steps;
  if (last && count == kRows && product.columns == kColumns) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      finish_whole<kEpilogue, Output>(product, product.rows[row + r], sum[r]);
    }
    return;
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) store(sums + r * kColumns + v * kLanes, sum[r][v]);
  }
  if (last) finish_rows<kEpilogue, Output>(product, row, count);
}

template <int kRows, int kVectors, Epilogue kEpilogue, typename Output>
void multiply_rows(const LayerProduct& product) {
  for (int64_t first = 0; first < product.steps; first += kPieceSteps) {
    const int64_t left = product.steps - first;
    const Piece piece{first, first + (left < kPieceSteps ? left : kPieceSteps)};
    for (int64_t row = 0; row < product.row_count; row += kRows) {
      multiply_tile<kRows, kVectors, kEpilogue, Output>(product, piece, row);
    }
  }
}

template <Epilogue kEpilogue, typename Output>
void multiply_panel(const LayerProduct& product) {
  if (product.panel_vectors == 3) return multiply_rows<8, 3, kEpilogue, Output>(product);
  multiply_rows<6, 4, kEpilogue, Output>(product);
}

template <Epilogue kEpilogue>
void multiply_to(const LayerProduct& product) {
  if (product.output_bf16) return multiply_panel<kEpilogue, uint16_t>(product);
  multiply_panel<kEpilogue, float>(product);
}

}  // namespace

void multiply_layer(const LayerProduct& product) {
  switch (product.epilogue) {
    case Epilogue::kNone:
      return multiply_to<Epilogue::kNone>(product);
    case Epilogue::kGeluTanh:
      return multiply_to<Epilogue::kGeluTanh>(product);
    case Epilogue::kSilu:
      return multiply_to<Epilogue::kSilu>(product);
  }
}

}  // namespace engine::cpu::TOCAFARM_ISA
