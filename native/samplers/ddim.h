// DDIM with eta 0 (Song et al., arXiv 2010.02502): from the predicted noise e the picture
// x0 = (x - sqrt(1 - A) e) / sqrt(A), noised again to the next level,
// x' = sqrt(A') x0 + sqrt(1 - A') e. No noise is drawn, nothing is carried from step to step.
#pragma once

#include <vector>

#include "samplers/diffusion_sampler.h"

namespace engine {

class Ddim : public DiffusionSampler {
 public:
  // `latent_shape` is [n, C, T, H, W]. Throws Error(kInvalidArgument) for a number of steps that
  // the schedule does not have.
  Ddim(Backend& backend, int steps, const Guidance& guidance, const Shape& latent_shape);

  int steps() const override { return static_cast<int>(timesteps_.size()); }
  float timestep(int step) const override;
  void step(int step, TensorView latent, const NoiseModel& model,
            const NoiseSource& noise) override;
  void restore(ConstTensorView history) override;

 private:
  Backend& backend_;
  Guidance guidance_;
  std::vector<int> timesteps_;  // ascending: the last is visited first
  std::vector<double> alphas_;  // of every trained timestep
  Tensor noise_;                // the guided prediction, latent shape
};

}  // namespace engine
