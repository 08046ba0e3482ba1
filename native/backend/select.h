// Which tokens are computed on a partial step (ToCa, arXiv 2410.05317): score, choose, gather,
// scatter.
#pragma once

#include "core/tensor_view.h"

namespace engine {

enum class TokenScore {
  kEntropy,     // 1 + H, H the entropy of the cross-attention map, from half_entropy
  kNorm,        // L2 norm of each input token
  kSimilarity,  // 1 - cosine(input token, cached output)
  kAttention,   // how much all tokens attend to it: column sums of the self-attention map
  kValueNorm,   // Σ over heads of 1 - ||value||₂, as value_scores() made it
  kRandom,      // numbers that the caller drew or made, as they are
};

// Whether a score is read as it was stored or drawn, from TokenScoresArgs::statistic.
constexpr bool is_statistic(TokenScore score) {
  return score == TokenScore::kAttention || score == TokenScore::kValueNorm ||
         score == TokenScore::kRandom;
}

// scores[b, :] = base[b, :] / ||base[b, :]||₂ + staleness_weight · counters[b, :]; kRandom: without
// the division.
// kEntropy: rows b and b + B/2 are a guidance pair; H of both = half_entropy[b] + half_entropy[b +
// B/2], so both halves get the same base.
struct TokenScoresArgs {
  TokenScore score = TokenScore::kEntropy;
  ConstTensorView half_entropy;  // [B, N], fp32 (kEntropy)
  ConstTensorView input;         // [B, N, C], fp32 or bf16 (kNorm, kSimilarity)
  ConstTensorView cached;        // [B, N, C], fp32, bf16 or fp8 (kSimilarity)
  ConstTensorView statistic =
      {};                         // [B, N], fp32: the base itself (kAttention, kValueNorm, kRandom)
  ConstTensorView counters;       // [B, N], i32: steps since the token was last computed
  float staleness_weight = 0.0f;  // soft_fresh_weight / fresh_threshold, rounded as float32 each
  TensorView scores;              // [B, N], fp32
};

// scores = Σ over heads of 1 - ||v||₂, v the token's value vector of that head. Reads a third of
// qkv, bound by memory.
struct ValueScoresArgs {
  ConstTensorView qkv;  // [B, T, S, 3, heads, d], fp32 or bf16
  TensorView scores;    // [B, T, S], fp32
};

// In every cell x cell block of the token grid (smaller ones at the far edges) the highest score is
// multiplied by `factor`; ties to the lower index, NaN is the lowest score. Spreads the choice over
// the picture.
struct SpreadScoresArgs {
  TensorView scores;              // [B, height · width], fp32
  int64_t height = 0, width = 0;  // of the grid, row by row
  int64_t cell = 1;               // side of a block, in tokens
  float factor = 1.0f;
};

// The K tokens of highest score in each batch row, ties to the lower index, written in ascending
// index order. Then counters: +1 for every token, 0 for the chosen ones.
struct SelectTokensArgs {
  ConstTensorView scores;  // [B, N], fp32
  TensorView indices;      // [B, K], i32; K may be 0 (empty view): then only the counters change
  TensorView counters;     // [B, N], i32
};

struct GatherRowsArgs {
  ConstTensorView input;    // [B, N, C], fp32, bf16 or fp8
  ConstTensorView indices;  // [B, K], i32
  TensorView output;        // [B, K, C], fp32 or bf16
};

struct ScatterRowsArgs {
  ConstTensorView input;    // [B, K, C], fp32 or bf16
  ConstTensorView indices;  // [B, K], i32, distinct in a row
  TensorView output;        // [B, N, C], fp32, bf16 or fp8; other rows stay as they are
};

}  // namespace engine
