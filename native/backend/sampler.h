// One step of a sampler on the latent.
#pragma once

#include <array>

#include "core/tensor_view.h"

namespace engine {

// v = v_uncond + guidance (v_cond - v_uncond), from the first C of the model's output channels,
// conditional rows first; latent += v · delta. Frames whose update_frame is 0 stay as they are.
struct GuidedEulerArgs {
  TensorView latent;          // [n, C, T, H, W], fp32
  ConstTensorView model_out;  // [2n, Cout >= C, T, H, W], fp32
  float guidance = 1.0f;
  float delta = 0.0f;
  ConstTensorView update_frame;  // [n, T], u8, 1 = update; empty: all
};

// latent = (1 - t) latent + t noise in the frames whose mask is 1.
struct RenoiseFramesArgs {
  TensorView latent;      // [n, C, T, H, W], fp32
  ConstTensorView noise;  // same shape, fp32
  ConstTensorView frame;  // [n, T], u8
  float t = 0.0f;         // 0 .. 1
};

// What a guided model predicts: noise = uncond + guidance (cond - uncond) in the first
// `guided_channels` of the latent's channels, the conditional rows' own in the others. From the
// first C of the model's output channels, conditional rows first.
struct GuidedNoiseArgs {
  ConstTensorView model_out;  // [2n, Cout >= C, T, H, W], fp32
  float guidance = 1.0f;
  int64_t guided_channels = 0;  // 0 .. C
  TensorView noise;             // [n, C, T, H, W], fp32
};

// A base and a feature with all its differences (change.h); samplers need up to three.
inline constexpr int kMaxWeightedTerms = 6;

struct WeightedTerm {
  float weight = 0.0f;
  ConstTensorView tensor;  // fp32, bf16 or fp8
};

// output = Σ weight · tensor, added term by term in fp32; all of one shape. The output may be one
// of the terms.
struct WeightedSumArgs {
  std::array<WeightedTerm, kMaxWeightedTerms> terms;
  int count = 0;      // 1 .. kMaxWeightedTerms
  TensorView output;  // fp32
};

// latent += exp(½ (f log_variance_max + (1 - f) log_variance_min)) · noise, f = (v + 1) / 2, v the
// model's channels C to 2C of the conditional rows (Nichol and Dhariwal, arXiv 2102.09672).
struct LearnedVarianceNoiseArgs {
  TensorView latent;          // [n, C, T, H, W], fp32
  ConstTensorView model_out;  // [2n, 2C, T, H, W], fp32: conditional rows first
  ConstTensorView noise;      // [n, C, T, H, W], fp32
  float log_variance_min = 0.0f;
  float log_variance_max = 0.0f;
};

}  // namespace engine
