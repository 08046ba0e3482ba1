// The residual stream of a transformer block: x += gate ⊙ F, for one feature or several folded into
// one pass.
#pragma once

#include <array>

#include "core/tensor_view.h"

namespace engine {

// One vector of C channels for each batch row: data + row * row_stride, fp32. Null data = the
// vector is absent.
struct RowVectors {
  const float* data = nullptr;
  int64_t row_stride = 0;
};

// Which frames of a clip are noisy (1) and which are clean (0) and thus modulated as at time 0.
// Empty: all are noisy.
struct FrameMask {
  ConstTensorView noisy;         // [B, T], u8
  int64_t tokens_per_frame = 0;  // S; token index n lies in frame n / S
};

// gate ⊙ feature, added to the residual stream. A null gate is 1.
struct ResidualTerm {
  ConstTensorView feature;  // [B, N, C], fp32, bf16 or fp8
  RowVectors gate;          // for tokens of noisy frames
  RowVectors gate_clean;    // for tokens of clean frames
  // What clean frames add instead of `feature`; empty: the same feature. (fidelity=upstream adds
  // the MLP's input there.)
  ConstTensorView clean_feature;  // [B, N, C], fp32 or bf16
};

inline constexpr int kMaxResidualTerms = 3;  // self-attention, cross-attention, MLP

// residual += term 0, then term 1, then term 2: per element in this order, so folding changes no
// bit. Reads B·N·C of each term and of the residual once, writes the residual once: bound by
// memory. With indices, only those tokens of each batch row are done.
struct ResidualAddArgs {
  TensorView residual;           // [B, N, C], fp32
  ConstTensorView indices = {};  // [B, K], i32, distinct in a row, or empty: all tokens
  std::array<ResidualTerm, kMaxResidualTerms> terms;
  int count = 0;
  FrameMask frames;
};

}  // namespace engine
