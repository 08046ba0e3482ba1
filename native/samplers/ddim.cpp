#include "samplers/ddim.h"

#include <cmath>

#include "core/check.h"
#include "samplers/diffusion_schedule.h"

namespace engine {

Ddim::Ddim(Backend& backend, int steps, const Guidance& guidance, const Shape& latent_shape)
    : backend_(backend),
      guidance_(guidance),
      timesteps_(respaced_timesteps(steps)),
      alphas_(cumulative_alphas(linear_betas())),
      noise_(backend.allocate(latent_shape, DType::kF32)) {}

float Ddim::timestep(int step) const {
  check(step >= 0 && step < steps(), "step outside of the sampler's range");
  return static_cast<float>(timesteps_[timesteps_.size() - 1 - static_cast<size_t>(step)]);
}

void Ddim::restore(ConstTensorView history) {
  check(history.empty(), "DDIM carries nothing from step to step");
}

void Ddim::step(int step, TensorView latent, const NoiseModel& model, const NoiseSource&) {
  const float time = timestep(step);
  const double alpha = alphas_[static_cast<size_t>(time)];
  const double next = step + 1 < steps() ? alphas_[static_cast<size_t>(timestep(step + 1))] : 1.0;
  backend_.guided_noise({.model_out = model({.step = step, .timestep = time, .latent = latent}),
                         .guidance = static_cast<float>(guidance_.scale),
                         .guided_channels = guidance_.channels,
                         .noise = noise_});
  const double keep = std::sqrt(next / alpha);
  const double add = std::sqrt(1 - next) - keep * std::sqrt(1 - alpha);
  WeightedSumArgs sum;
  sum.terms[0] = {static_cast<float>(keep), latent};
  sum.terms[1] = {static_cast<float>(add), noise_};
  sum.count = 2;
  sum.output = latent;
  backend_.weighted_sum(sum);
}

}  // namespace engine
