// Rectified flow: z += v (t_i - t_{i+1}) / 1000, from noise at time 1000 to a picture at time 0,
// with classifier-free guidance and, for conditioned clips, frames that are kept or joined in late.
//
// All state is the latent and the number of the next step, so a render can be cut between any two
// steps and taken up again with the same bits.
#pragma once

#include <functional>
#include <vector>

#include "backend/backend.h"
#include "samplers/noise.h"
#include "samplers/timesteps.h"

namespace engine {

// What the model is asked at one step.
struct VelocityRequest {
  int step = 0;
  float timestep = 0;      // 0 .. 1000
  ConstTensorView latent;  // [n, C, T, H, W], fp32, device
  ConstTensorView x_mask;  // [n, T], u8, host: 1 = noisy, 0 = clean; empty: all are noisy
};
// Returns [2n, Cout >= C, T, H, W], fp32, device: conditional rows first.
using VelocityModel = std::function<ConstTensorView(const VelocityRequest&)>;

class RectifiedFlow {
 public:
  // `latent_shape` is [n, C, T, H, W]. `frame_mask` [n, T], fp32, host: 1 generate, 0 keep the
  // frame, in between: keep it until the time falls to 1000 · value. Empty: generate all. Throws
  // Error(kInvalidArgument) for values outside of 0..1.
  RectifiedFlow(Backend& backend, std::vector<float> timesteps, double guidance,
                const Shape& latent_shape, ConstTensorView frame_mask = {});

  int steps() const { return static_cast<int>(timesteps_.size()); }
  float timestep(int step) const { return timesteps_[static_cast<size_t>(step)]; }

  // One step on `latent` (device). `noise` is called only where frames become active.
  void step(int step, TensorView latent, const VelocityModel& model, const NoiseSource& noise);

 private:
  bool active(size_t frame, int step) const;
  // 1 where the frame becomes active at this step and was not noised before; false when none is.
  bool newly_active(int step);
  void renoise(int step, TensorView latent, const NoiseSource& noise);

  Backend& backend_;
  std::vector<float> timesteps_;
  double guidance_;
  std::vector<float> frame_mask_;  // [n, T], empty: no mask
  Tensor active_;                  // [n, T], u8, host
  Tensor newly_active_;            // [n, T], u8, host
  Tensor device_frames_;           // [n, T], u8, device
  Tensor noise_;                   // latent shape, host
  Tensor device_noise_;            // latent shape, device
};

}  // namespace engine
