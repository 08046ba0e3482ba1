// Ways into and out of the token stream.
#pragma once

#include <array>

#include "core/tensor_view.h"

namespace engine {

// Latents are zero-padded at the far end of t, h and w to multiples of the patch; tokens in order
// (t, h, w). Row values in order (channel, pt, ph, pw), as the weight of the published patch
// convolution has them.
struct PatchifyArgs {
  ConstTensorView latent;          // [B, Cin, T, H, W], fp32
  std::array<int64_t, 3> patch{};  // pt, ph, pw
  TensorView output;               // [B, N, Cin·pt·ph·pw], fp32 or bf16
};

// The inverse, cropping the padding; row values in order (pt, ph, pw, channel): the channel is
// fastest.
struct UnpatchifyArgs {
  ConstTensorView tokens;  // [B, N, pt·ph·pw·Cout], fp32
  std::array<int64_t, 3> patch{};
  TensorView output;  // [B, Cout, T, H, W], fp32
};

// [cos | sin] of t · exp(-ln(max_period) · i / (width / 2)), i = 0 .. width/2 - 1.
struct TimestepEmbeddingArgs {
  ConstTensorView values;  // [B], fp32
  float max_period = 10000.0f;
  TensorView output;  // [B, width], fp32
};

struct TokenEmbeddingArgs {
  ConstTensorView ids;    // [tokens], i32, each in [0, vocabulary)
  ConstTensorView table;  // [vocabulary, C], fp32, fp16 or bf16
  TensorView output;      // [tokens, C], fp32
};

// output[b, t, s, :] = input[b, t, s, :] + table[s or b·per_batch .., :]: see fields.
struct AddRowsArgs {
  TensorView output;      // [outer, inner, C], fp32, in place
  ConstTensorView table;  // [inner, C], fp32: added to every outer index
};

}  // namespace engine
