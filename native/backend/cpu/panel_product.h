// A block of rows times one panel of columns, for rows and panels of any element that
// product_tile.h multiplies: the loops around the tile, and the epilogue. Only for kernel sources.
#pragma once

#include "backend/cpu/linear_kernels.h"
#include "backend/cpu/product_tile.h"

namespace engine::cpu::TOCAFARM_ISA {

inline constexpr int64_t kDepthPiece = 512;
inline constexpr int64_t kPanelColumns = kTileVecs * kLanes;

namespace {

TOCAFARM_INLINE Vec apply(Epilogue epilogue, Vec x) {
  if (epilogue == Epilogue::kNone) return x;
  Vec exponent = -x;  // SiLU: x / (1 + e^-x)
  if (epilogue == Epilogue::kGeluTanh) {
    // 0.5 x (1 + tanh u) = x / (1 + e^-2u), u = sqrt(2 / π) (x + 0.044715 x³)
    exponent = -1.59576912f * fma(0.044715f * x * x, x, x);
  }
  exponent = exponent < 88.0f ? exponent : broadcast(88.0f);
  return x / (1.0f + exp(exponent));
}

template <typename Output>
void finish_row(const PanelProduct& product, int64_t row) {
  const float* sums = product.sums + row * kPanelColumns;
  const int64_t place = product.places[row] * product.output_stride;
  Output* output = static_cast<Output*>(product.output) + place;
  const Output* residual =
      product.residual == nullptr ? nullptr : static_cast<const Output*>(product.residual) + place;
  for (int64_t column = 0; column < product.columns; column += kLanes) {
    const int64_t left = product.columns - column;
    Vec value = apply(product.epilogue, load(sums + column) + load(product.bias + column));
    if (left >= kLanes) {
      if (residual != nullptr) value += load(residual + column);
      store(output + column, value);
    } else {
      if (residual != nullptr) value += load_first(residual + column, left);
      store_first(output + column, value, left);
    }
  }
}

void finish_rows(const PanelProduct& product) {
  if (product.output == nullptr) return;
  for (int64_t row = 0; row < product.row_count; ++row) {
    if (product.output_bf16) {
      finish_row<uint16_t>(product, row);
    } else {
      finish_row<float>(product, row);
    }
  }
}

// Taps [first_tap, first_tap + taps) and depths [offset, offset + depth) of the panel.
struct Piece {
  int64_t first_tap;
  int64_t taps;
  int64_t offset;
  int64_t depth;
};

template <typename Row, typename Element>
void multiply_piece(const PanelProduct& product, const Piece& piece, const Element* values) {
  RowsProduct<Row> tile{.a = nullptr,
                        .tap_stride = product.row_stride,
                        .offset = piece.offset,
                        .taps = piece.taps,
                        .depth = piece.depth,
                        .b_stride = kPanelColumns,
                        .c = nullptr,
                        .c_stride = kPanelColumns,
                        .add = piece.first_tap + piece.offset > 0};
  const auto* rows = reinterpret_cast<const Row* const*>(product.rows);
  const int64_t vecs = (product.columns + kLanes - 1) / kLanes;
  for (int64_t row = 0; row < product.row_count;) {
    tile.a = rows + piece.first_tap * product.row_stride + row;
    tile.c = product.sums + row * kPanelColumns;
    const int64_t left = product.row_count - row;
    const bool tall = 2 * vecs <= kTileVecs && left >= kTallTileRows;
    if (!tall) {
      multiply_columns(vecs, left, tile, values);
    } else if (vecs == 1) {
      multiply_tile<kTallTileRows, 1>(tile, values);
    } else {
      multiply_tile<kTallTileRows, kTileVecs / 2>(tile, values);
    }
    row += tall ? kTallTileRows : kTileRows;
  }
}

// Calls multiply(piece) for pieces of the panel that stay in the first two levels of cache while
// all rows pass over them. `depth` counts what one step of the tile takes.
template <typename Multiply>
TOCAFARM_INLINE void for_each_piece(int64_t all_taps, int64_t all_depth, Multiply multiply) {
  const int64_t depth_piece = all_depth < kDepthPiece ? all_depth : kDepthPiece;
  const int64_t tap_piece = kDepthPiece / depth_piece;
  for (int64_t tap = 0; tap < all_taps; tap += tap_piece) {
    const int64_t taps = all_taps - tap < tap_piece ? all_taps - tap : tap_piece;
    for (int64_t offset = 0; offset < all_depth; offset += depth_piece) {
      const int64_t left = all_depth - offset;
      const int64_t depth = left < depth_piece ? left : depth_piece;
      multiply(Piece{.first_tap = tap, .taps = taps, .offset = offset, .depth = depth});
    }
  }
}

}  // namespace

}  // namespace engine::cpu::TOCAFARM_ISA
