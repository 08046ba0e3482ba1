// Spatial frequencies of a latent.
#pragma once

#include "core/tensor_view.h"

namespace engine {

// Of each plane the part of its two-dimensional Fourier series whose frequencies (i, j), counted in
// periods over height and width, have i² + j² <= radius². Linear; radius 0 leaves the mean.
struct LowPassArgs {
  ConstTensorView input;  // [P, H, W], fp32
  int64_t radius = 0;     // 0 <= 2 · radius < min(H, W)
  TensorView output;      // [P, H, W], fp32; not the input
};

}  // namespace engine
