// The noise schedule that DiT and PixArt-alpha were trained with (Ho et al., arXiv 2006.11239):
// 1000 timesteps whose betas rise linearly from 1e-4 to 0.02, and the few of them that a sampler
// visits.
#pragma once

#include <vector>

namespace engine {

inline constexpr int kTrainedTimesteps = 1000;

// beta of every trained timestep.
std::vector<double> linear_betas();
// Π (1 - beta) up to and including each timestep: the share of the picture left in the latent.
std::vector<double> cumulative_alphas(const std::vector<double>& betas);

// `steps` timesteps spread evenly from 0 to 999, ascending, rounded half to even as the published
// respacing has it; for one step the last, where there is nothing but noise. Throws
// Error(kInvalidArgument) for steps outside of 1 to 1000.
std::vector<int> respaced_timesteps(int steps);

}  // namespace engine
