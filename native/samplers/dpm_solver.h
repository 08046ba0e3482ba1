// DPM-Solver++ (Lu et al., arXiv 2211.01095), second order, multistep, as PixArt-alpha is sampled:
// times evenly spaced in t from 1 to 0.001, every step from the last two predicted pictures. The
// first step has but one and is of first order; so is the last where there are fewer than ten.
#pragma once

#include <array>
#include <vector>

#include "samplers/diffusion_sampler.h"

namespace engine {

// What the model is asked at each step, 0 .. 1000. Throws Error(kInvalidArgument) for a number of
// steps outside of 1 to 1000.
std::vector<float> dpm_solver_timesteps(int steps);

class DpmSolver : public DiffusionSampler {
 public:
  // `latent_shape` is [n, C, T, H, W]. Throws Error(kInvalidArgument) for a number of steps outside
  // of 1 to 1000.
  DpmSolver(Backend& backend, int steps, const Guidance& guidance, const Shape& latent_shape);

  int steps() const override { return static_cast<int>(levels_.size()) - 1; }
  float timestep(int step) const override;
  void step(int step, TensorView latent, const NoiseModel& model,
            const NoiseSource& noise) override;
  // The picture predicted at the last step.
  ConstTensorView history() const override;
  void restore(ConstTensorView history) override;

 private:
  // What is left of picture and noise at a time of the sampler.
  struct Level {
    double time = 0;  // 1 (noise) .. 0.001
    double alpha = 0, sigma = 0;
    double log_ratio = 0;  // ln(alpha / sigma)
  };
  static Level level_at(double time, const std::vector<double>& log_alphas);
  bool first_order(int step) const;

  Backend& backend_;
  Guidance guidance_;
  std::vector<Level> levels_;        // steps + 1, from noise to picture
  Tensor noise_;                     // the guided prediction, latent shape
  std::array<Tensor, 2> predicted_;  // pictures, latent shape: the newest and the one before
  bool has_history_ = false;
};

}  // namespace engine
