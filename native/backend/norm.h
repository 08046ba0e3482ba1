// Normalisations. All statistics in fp32 (or wider), whatever the dtype of the data.
#pragma once

#include "backend/residual.h"

namespace engine {

// output = LN(x)(1 + scale) + shift, LN over C without weights: (x - mean) / sqrt(var + eps), var
// biased. x = input + the pending residual terms; it is written only where `settled` says, so a
// partial step needs no pass over the unselected rows. With indices [B, K], only those tokens of
// each batch row are done, in that order.
struct LayerNormModulateArgs {
  ConstTensorView input;  // [B, N, C], fp32
  std::array<ResidualTerm, kMaxResidualTerms> pending;
  int pending_count = 0;
  ConstTensorView indices;  // [B, K], i32, or empty: all tokens
  // Where x goes, [B, N, C], fp32, all tokens; may be `input`. Empty: nowhere.
  TensorView settled = {};
  RowVectors shift, scale;              // tokens of noisy frames
  RowVectors shift_clean, scale_clean;  // tokens of clean frames
  FrameMask frames;
  float eps = 1e-6f;
  TensorView output;  // [B, N or K, C], fp32 or bf16
};

// output = weight ⊙ x / sqrt(mean(x²) + eps) (T5 layer norm).
struct RmsNormArgs {
  ConstTensorView input;   // [rows, C], fp32
  ConstTensorView weight;  // [C], fp32
  float eps = 1e-6f;
  TensorView output;  // [rows, C], fp32 or bf16
};

// Channels-last group norm, statistics of a group over `frames_per_norm` consecutive frames, H and
// W; then weight, bias and SiLU if asked.
struct GroupNormArgs {
  ConstTensorView input;   // [F, H, W, C], fp32 or bf16
  ConstTensorView weight;  // [C], fp32
  ConstTensorView bias;    // [C], fp32
  int64_t groups = 32;
  int64_t frames_per_norm = 1;  // divides F
  float eps = 1e-6f;
  bool silu = false;
  TensorView output;  // [F, H, W, C] of the input's dtype; may be the input
};

}  // namespace engine
