// One step of a sampler on the latent.
#pragma once

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

}  // namespace engine
