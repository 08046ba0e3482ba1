#include "samplers/diffusion_schedule.h"

#include <cmath>

#include "engine/error.h"

namespace engine {

namespace {

constexpr double kFirstBeta = 1e-4, kLastBeta = 0.02;

}  // namespace

std::vector<double> linear_betas() {
  std::vector<double> betas(kTrainedTimesteps);
  const double stride = (kLastBeta - kFirstBeta) / (kTrainedTimesteps - 1);
  for (int t = 0; t < kTrainedTimesteps; ++t) {
    betas[static_cast<size_t>(t)] = kFirstBeta + stride * t;
  }
  return betas;
}

std::vector<double> cumulative_alphas(const std::vector<double>& betas) {
  std::vector<double> alphas;
  double product = 1.0;
  for (const double beta : betas) alphas.push_back(product *= 1.0 - beta);
  return alphas;
}

std::vector<int> respaced_timesteps(int steps) {
  if (steps < 1 || steps > kTrainedTimesteps) {
    throw Error(ErrorCode::kInvalidArgument, "the model was trained with " +
                                                 std::to_string(kTrainedTimesteps) +
                                                 " timesteps; a sampler visits 1 to all of them, "
                                                 "not " +
                                                 std::to_string(steps));
  }
  if (steps == 1) return {kTrainedTimesteps - 1};
  std::vector<int> timesteps;
  const double stride = static_cast<double>(kTrainedTimesteps - 1) / (steps - 1);
  double at = 0.0;
  for (int i = 0; i < steps; ++i, at += stride) {
    timesteps.push_back(static_cast<int>(std::nearbyint(at)));
  }
  return timesteps;
}

}  // namespace engine
