// A block of rows times a panel of columns (linear_kernels.h), compiled once per instruction set.
//
// Bound by the multiply-add units: each line of the panel is loaded once for kTileRows rows. The
// depth is cut into pieces of kDepthPiece, so that a piece of the panel (AVX-512: 128 KiB) stays in
// the second-level cache while all rows of the block pass; partial sums wait in `sums` as fp32,
// which is what they are in registers, so the cut changes no bit.
#include "backend/cpu/linear_kernels.h"

#include "backend/cpu/product_tile.h"

namespace engine::cpu::TOCAFARM_ISA {

namespace {

constexpr int64_t kDepthPiece = 512;
constexpr int64_t kPanelColumns = kTileVecs * kLanes;

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
  Output* output = static_cast<Output*>(product.output) + row * product.output_stride;
  const float* residual =
      product.residual == nullptr ? nullptr : product.residual + row * product.output_stride;
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

// Taps [first_tap, first_tap + taps) and depths [offset, offset + depth) of the panel.
struct Piece {
  int64_t first_tap;
  int64_t taps;
  int64_t offset;
  int64_t depth;
};

template <typename Element>
void multiply_piece(const PanelProduct& product, const Piece& piece, const Element* values) {
  TileProduct tile{.a = nullptr,
                   .tap_stride = product.row_stride,
                   .offset = piece.offset,
                   .taps = piece.taps,
                   .depth = piece.depth,
                   .b_stride = kPanelColumns,
                   .c = nullptr,
                   .c_stride = kPanelColumns,
                   .add = piece.first_tap + piece.offset > 0};
  const int64_t vecs = (product.columns + kLanes - 1) / kLanes;
  for (int64_t row = 0; row < product.row_count;) {
    tile.a = product.rows + piece.first_tap * product.row_stride + row;
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

template <typename From, typename To>
void convert(const From* from, To* to, int64_t count) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(to + i, load(from + i));
  if (i < count) store_first(to + i, load_first(from + i, count - i), count - i);
}

// A piece of bf16 is made fp32 once for many rows, and as it is read for few: the same numbers.
void multiply_piece(const PanelProduct& product, const Piece& piece) {
  constexpr int64_t kManyRows = 4 * kTileRows;
  const int64_t first = (piece.first_tap * product.depth + piece.offset) * kPanelColumns;
  if (!product.panel_bf16) {
    return multiply_piece(product, piece, static_cast<const float*>(product.panel) + first);
  }
  const uint16_t* values = static_cast<const uint16_t*>(product.panel) + first;
  if (product.row_count < kManyRows) return multiply_piece(product, piece, values);
  convert(values, product.piece, piece.taps * piece.depth * kPanelColumns);
  multiply_piece(product, piece, product.piece);
}

void multiply(const PanelProduct& product) {
  const int64_t depth_piece = product.depth < kDepthPiece ? product.depth : kDepthPiece;
  const int64_t tap_piece = kDepthPiece / depth_piece;
  for (int64_t tap = 0; tap < product.taps; tap += tap_piece) {
    const int64_t taps = product.taps - tap < tap_piece ? product.taps - tap : tap_piece;
    for (int64_t offset = 0; offset < product.depth; offset += depth_piece) {
      const int64_t left = product.depth - offset;
      const int64_t depth = left < depth_piece ? left : depth_piece;
      multiply_piece(product, {.first_tap = tap, .taps = taps, .offset = offset, .depth = depth});
    }
  }
  for (int64_t row = 0; row < product.row_count; ++row) {
    if (product.output_bf16) {
      finish_row<uint16_t>(product, row);
    } else {
      finish_row<float>(product, row);
    }
  }
}

}  // namespace

extern const LinearKernels linear_kernels;
const LinearKernels linear_kernels{kPanelColumns, kDepthPiece* kPanelColumns, multiply,
                                   convert<uint16_t, float>, convert<float, uint16_t>};

}  // namespace engine::cpu::TOCAFARM_ISA
