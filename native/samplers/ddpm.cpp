#include "samplers/ddpm.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "samplers/diffusion_schedule.h"

namespace engine {

Ddpm::Ddpm(Backend& backend, int steps, const Guidance& guidance, const Shape& latent_shape)
    : backend_(backend),
      guidance_(guidance),
      timesteps_(respaced_timesteps(steps)),
      alphas_(cumulative_alphas(linear_betas())),
      predicted_(backend.allocate(latent_shape, DType::kF32)),
      noise_(latent_shape, DType::kF32),
      device_noise_(backend.allocate(latent_shape, DType::kF32)) {}

float Ddpm::timestep(int step) const {
  check(step >= 0 && step < steps(), "step outside of the sampler's range");
  return static_cast<float>(timesteps_[timesteps_.size() - 1 - static_cast<size_t>(step)]);
}

void Ddpm::restore(ConstTensorView history) {
  check(history.empty(), "DDPM carries nothing from step to step");
}

Ddpm::Posterior Ddpm::posterior(size_t i) const {
  const double alpha = alphas_[static_cast<size_t>(timesteps_[i])];
  const double next = i > 0 ? alphas_[static_cast<size_t>(timesteps_[i - 1])] : 1.0;
  const double beta = 1 - alpha / next;
  const double of_picture = beta * std::sqrt(next) / (1 - alpha);
  const double of_latent = (1 - next) * std::sqrt(1 - beta) / (1 - alpha);
  return {.keep = of_picture / std::sqrt(alpha) + of_latent,
          .add = -of_picture * std::sqrt(1 / alpha - 1),
          .variance = beta * (1 - next) / (1 - alpha),
          .beta = beta};
}

void Ddpm::step(int step, TensorView latent, const NoiseModel& model, const NoiseSource& noise) {
  const float time = timestep(step);
  const auto index = static_cast<size_t>(steps() - 1 - step);
  const Posterior at = posterior(index);
  const ConstTensorView output = model({.step = step, .timestep = time, .latent = latent});
  backend_.guided_noise({.model_out = output,
                         .guidance = static_cast<float>(guidance_.scale),
                         .guided_channels = guidance_.channels,
                         .noise = predicted_});
  WeightedSumArgs mean;
  mean.terms[0] = {static_cast<float>(at.keep), latent};
  mean.terms[1] = {static_cast<float>(at.add), predicted_};
  mean.count = 2;
  mean.output = latent;
  backend_.weighted_sum(mean);
  if (index == 0) return;
  noise(step, noise_);
  backend_.upload(noise_, device_noise_);
  backend_.learned_variance_noise({.latent = latent,
                                   .model_out = output,
                                   .noise = device_noise_,
                                   .log_variance_min = static_cast<float>(std::log(at.variance)),
                                   .log_variance_max = static_cast<float>(std::log(at.beta))});
}

}  // namespace engine
