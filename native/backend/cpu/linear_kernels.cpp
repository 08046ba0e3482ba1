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

// One piece of the panel: taps [first_tap, first_tap + taps) and depths [offset, offset + depth).
template <typename Element>
void multiply_piece(const PanelProduct& product, int64_t first_tap, int64_t taps, int64_t offset,
                    int64_t depth) {
  const Element* piece = static_cast<const Element*>(product.panel) +
                         (first_tap * product.depth + offset) * kPanelColumns;
  TileProduct tile{.a = nullptr,
                   .tap_stride = product.row_stride,
                   .offset = offset,
                   .taps = taps,
                   .depth = depth,
                   .b_stride = kPanelColumns,
                   .c = nullptr,
                   .c_stride = kPanelColumns,
                   .add = first_tap + offset > 0};
  const int64_t vecs = (product.columns + kLanes - 1) / kLanes;
  for (int64_t row = 0; row < product.row_count;) {
    tile.a = product.rows + first_tap * product.row_stride + row;
    tile.c = product.sums + row * kPanelColumns;
    const int64_t left = product.row_count - row;
    const bool tall = 2 * vecs <= kTileVecs && left >= kTallTileRows;
    if (!tall) {
      multiply_columns(vecs, left, tile, piece);
    } else if (vecs == 1) {
      multiply_tile<kTallTileRows, 1>(tile, piece);
    } else {
      multiply_tile<kTallTileRows, kTileVecs / 2>(tile, piece);
    }
    row += tall ? kTallTileRows : kTileRows;
  }
}

template <typename Element>
void multiply_all(const PanelProduct& product) {
  const int64_t depth_piece = product.depth < kDepthPiece ? product.depth : kDepthPiece;
  const int64_t tap_piece = kDepthPiece / depth_piece;
  for (int64_t tap = 0; tap < product.taps; tap += tap_piece) {
    const int64_t taps = product.taps - tap < tap_piece ? product.taps - tap : tap_piece;
    for (int64_t offset = 0; offset < product.depth; offset += depth_piece) {
      const int64_t left = product.depth - offset;
      multiply_piece<Element>(product, tap, taps, offset, left < depth_piece ? left : depth_piece);
    }
  }
}

void multiply(const PanelProduct& product) {
  if (product.panel_bf16) {
    multiply_all<uint16_t>(product);
  } else {
    multiply_all<float>(product);
  }
  for (int64_t row = 0; row < product.row_count; ++row) {
    if (product.output_bf16) {
      finish_row<uint16_t>(product, row);
    } else {
      finish_row<float>(product, row);
    }
  }
}

template <typename From, typename To>
void convert(const From* from, To* to, int64_t count) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(to + i, load(from + i));
  if (i < count) store_first(to + i, load_first(from + i, count - i), count - i);
}

}  // namespace

extern const LinearKernels linear_kernels;
const LinearKernels linear_kernels{kPanelColumns, multiply, convert<uint16_t, float>,
                                   convert<float, uint16_t>};

}  // namespace engine::cpu::TOCAFARM_ISA
