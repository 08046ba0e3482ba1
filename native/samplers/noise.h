// The random numbers of a clip. They depend on (seed, purpose, place) alone: clip i of a batch has
// seed + i and gets what it would get alone.
#pragma once

#include <functional>

#include "core/tensor_view.h"

namespace engine {

// Fills [n, C, T, H, W], fp32, host with the noise of a step.
using NoiseSource = std::function<void(int step, TensorView noise)>;

// Standard normal values for `latent` [n, C, T, H, W], fp32, host memory.
void fill_initial_latent(TensorView latent, uint64_t seed);
// The noise that frames get when they become active at `step`, or that a step of DDPM adds; same
// form.
void fill_step_noise(TensorView noise, uint64_t seed, int step);

}  // namespace engine
