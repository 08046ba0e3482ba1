// DDPM with learned variance (Ho et al., arXiv 2006.11239; Nichol and Dhariwal, arXiv 2102.09672):
// the mean of the posterior of x' given x and the predicted picture, plus noise whose log variance
// the model chooses between that of the posterior and ln beta. The last step adds none. Step k's
// noise depends on (seed, k) alone, so nothing is carried from step to step.
#pragma once

#include <vector>

#include "samplers/diffusion_sampler.h"

namespace engine {

class Ddpm : public DiffusionSampler {
 public:
  // `latent_shape` is [n, C, T, H, W]; the model gives 2C channels, the variance in the second C.
  // Throws Error(kInvalidArgument) for a number of steps that the schedule does not have.
  Ddpm(Backend& backend, int steps, const Guidance& guidance, const Shape& latent_shape);

  int steps() const override { return static_cast<int>(timesteps_.size()); }
  float timestep(int step) const override;
  // `noise` is called at every step but the last.
  void step(int step, TensorView latent, const NoiseModel& model,
            const NoiseSource& noise) override;
  void restore(ConstTensorView history) override;

 private:
  // Coefficients of a step: mean = keep · x + add · noise.
  struct Posterior {
    double keep = 0, add = 0;
    double variance = 0, beta = 0;
  };
  // Of visited timestep i, counted in ascending order.
  Posterior posterior(size_t i) const;

  Backend& backend_;
  Guidance guidance_;
  std::vector<int> timesteps_;  // ascending: the last is visited first
  std::vector<double> alphas_;  // of every trained timestep
  Tensor predicted_;            // the guided prediction, latent shape
  Tensor noise_;                // latent shape, host
  Tensor device_noise_;         // latent shape
};

}  // namespace engine
