// A block of rows times a panel of columns (linear_kernels.h), compiled once per instruction set.
//
// Bound by the multiply-add units: each line of the panel is loaded once for kTileRows rows. The
// depth is cut into pieces of kDepthPiece, so that a piece of the panel (AVX-512: 128 KiB) stays in
// the second-level cache while all rows of the block pass; partial sums wait in `sums` as fp32,
// which is what they are in registers, so the cut changes no bit.
#include "backend/cpu/panel_product.h"

namespace engine::cpu::TOCAFARM_ISA {

namespace {

template <typename From, typename To>
void convert(const From* from, To* to, int64_t count) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(to + i, load(from + i));
  if (i < count) store_first(to + i, load_first(from + i, count - i), count - i);
}

// A piece of bf16 is made fp32 once for many rows, and as it is read for few: the same numbers.
template <typename Row>
void multiply_rows_of(const PanelProduct& product, const Piece& piece) {
  constexpr int64_t kManyRows = 4 * kTileRows;
  const int64_t first = (piece.first_tap * product.depth + piece.offset) * kPanelColumns;
  if (!product.panel_bf16) {
    return multiply_piece<Row>(product, piece, static_cast<const float*>(product.panel) + first);
  }
  const uint16_t* values = static_cast<const uint16_t*>(product.panel) + first;
  if (product.row_count < kManyRows) return multiply_piece<Row>(product, piece, values);
  convert(values, product.piece, piece.taps * piece.depth * kPanelColumns);
  multiply_piece<Row>(product, piece, product.piece);
}

void multiply(const PanelProduct& product) {
  for_each_piece(product.taps, product.depth, [&](const Piece& piece) {
    if (product.rows_bf16) {
      multiply_rows_of<uint16_t>(product, piece);
    } else {
      multiply_rows_of<float>(product, piece);
    }
  });
  finish_rows(product);
}

}  // namespace

extern const LinearKernels linear_kernels;
const LinearKernels linear_kernels{kPanelColumns, kDepthPiece* kPanelColumns, multiply,
                                   convert<uint16_t, float>, convert<float, uint16_t>};

}  // namespace engine::cpu::TOCAFARM_ISA
