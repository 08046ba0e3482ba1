// What the samplers of models that predict noise have in common: DDIM, DDPM and DPM-Solver++.
#pragma once

#include <functional>

#include "backend/backend.h"
#include "samplers/noise.h"

namespace engine {

// What the model is asked at one step.
struct NoiseRequest {
  int step = 0;
  float timestep = 0;      // 0 .. 1000; DPM-Solver++ asks between the trained ones
  ConstTensorView latent;  // [n, C, T, H, W], fp32, device
};
// Returns [2n, Cout >= C, T, H, W], fp32, device: conditional rows first, predicted noise in the
// first C channels.
using NoiseModel = std::function<ConstTensorView(const NoiseRequest&)>;

// Classifier-free guidance: noise = uncond + scale (cond - uncond) in the first `channels` channels
// of the latent; the others take the conditional prediction. DiT was published with three of four.
struct Guidance {
  double scale = 1.0;
  int64_t channels = 0;
};

class DiffusionSampler {
 public:
  virtual ~DiffusionSampler() = default;

  virtual int steps() const = 0;
  virtual float timestep(int step) const = 0;

  // One step on `latent` (device). Steps come in order, from 0 or from where restore() was told.
  // `noise` is called only where the step adds noise.
  virtual void step(int step, TensorView latent, const NoiseModel& model,
                    const NoiseSource& noise) = 0;

  // What the next step needs beside the latent: [n, C, T, H, W], fp32, device, valid until that
  // step; empty: nothing. With it and the latent a render can be cut between any two steps and
  // taken up again with the same bits.
  virtual ConstTensorView history() const { return {}; }
  // Takes up a render with the history it was cut with (device; not empty where history() was not).
  virtual void restore(ConstTensorView history) = 0;
};

}  // namespace engine
