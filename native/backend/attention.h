// Attention: softmax(q kᵀ · scale) v, per head. No operation stores a map of scores; what a policy
// needs of one is summed up while it passes.
#pragma once

#include <span>

#include "core/tensor_view.h"

namespace engine {

enum class AttentionAxis { kSpatial, kTemporal };

// Self-attention of a block over a packed qkv. Spatial: the S tokens of one frame attend to each
// other; temporal: the T tokens at one position do. q and k are RMS-normalised over d with weights
// if given, then rotated if tables are given: pairs (2i, 2i+1) by the angle of (position, i),
// position = t on the temporal axis.
struct SelfAttentionArgs {
  ConstTensorView
      qkv;  // [B, T, S, 3, heads, d] as [B·T·S, 3·heads·d] in memory; fp32 or bf16; shape rank 6
  AttentionAxis axis = AttentionAxis::kSpatial;
  ConstTensorView q_norm, k_norm;  // [d], fp32, or empty: no norm
  float norm_eps = 1e-6f;
  ConstTensorView rope_cos, rope_sin;  // [positions, d/2], fp32, or empty: no rotation
  float scale = 1.0f;
  TensorView output;  // [B, T, S, heads·d] as rank 4, dtype of qkv
  // [B, T, S], fp32, or empty: for each token as a key the sum over all queries of the mean over
  // heads of the probability that they give it, in its own sequence.
  TensorView column_sums = {};
};

// Cross-attention of image tokens to packed text: batch row b attends to text tokens
// [text_offsets[b], text_offsets[b+1]). With half_entropy, for each query: h = -Σ_j a_j ln(a_j +
// 1e-7), a_j = p_j / 2, p = mean over heads of the softmax rows. The entropy of the reference's
// averaged map of a guidance pair is the sum of both rows' h, since their text columns are
// disjoint.
struct CrossAttentionArgs {
  ConstTensorView query;                  // [B, K, heads, d], fp32 or bf16
  ConstTensorView key_value;              // [text tokens, 2, heads, d], dtype of query
  std::span<const int32_t> text_offsets;  // B + 1, host memory
  float scale = 1.0f;
  TensorView output;        // [B, K, heads·d], dtype of query
  TensorView half_entropy;  // [B, N], fp32, or empty: not wanted
  // [B, K], i32: token k of batch row b is token indices[b, k] of half_entropy; empty: K = N, in
  // order.
  ConstTensorView indices;
};

// Attention with an additive bias and a key mask (T5; the VAE's middle block with neither).
struct BiasedAttentionArgs {
  ConstTensorView query, key, value;  // [B, L, heads, d], fp32 or bf16
  ConstTensorView bias;               // [heads, L, L], fp32, or empty
  ConstTensorView key_mask;           // [B, L], u8, 1 = attend, or empty
  float scale = 1.0f;
  TensorView output;  // [B, L, heads·d], of the query's dtype
};

}  // namespace engine
