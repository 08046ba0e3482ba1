// Panels of bf16 pairs times bf16 rows by the instruction that multiplies and adds both numbers of
// a pair (AVX512-BF16). Compiled for CPUs that have it alone.
#include "backend/cpu/panel_product.h"

namespace engine::cpu::TOCAFARM_ISA {

void multiply_pairs(const PanelProduct& product) {
  const int64_t depth = product.depth / 2;
  for_each_piece(product.taps, depth, [&](const Piece& piece) {
    const int64_t first = (piece.first_tap * depth + piece.offset) * kPanelColumns;
    multiply_piece<Pair>(product, piece, static_cast<const Pair*>(product.panel) + first);
  });
  finish_rows(product);
}

}  // namespace engine::cpu::TOCAFARM_ISA
