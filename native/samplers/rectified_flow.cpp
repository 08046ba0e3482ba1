#include "samplers/rectified_flow.h"

#include <algorithm>

#include "core/check.h"
#include "engine/error.h"

namespace engine {

RectifiedFlow::RectifiedFlow(Backend& backend, std::vector<float> timesteps, double guidance,
                             const Shape& latent_shape, ConstTensorView frame_mask)
    : backend_(backend), timesteps_(std::move(timesteps)), guidance_(guidance) {
  check(latent_shape.rank() == 5, "a latent is [n, C, T, H, W]");
  if (frame_mask.empty()) return;
  const Shape frames{latent_shape[0], latent_shape[2]};
  check(frame_mask.shape() == frames && frame_mask.dtype() == DType::kF32,
        "a frame mask is [n, T], fp32");
  frame_mask_.assign(frame_mask.f32(), frame_mask.f32() + frame_mask.elements());
  for (const float value : frame_mask_) {
    if (value >= 0.0f && value <= 1.0f) continue;
    throw Error(ErrorCode::kInvalidArgument,
                "frame mask value " + std::to_string(value) +
                    " is outside of 0 (keep the frame) to 1 (generate it)");
  }
  active_ = Tensor(frames, DType::kU8);
  newly_active_ = Tensor(frames, DType::kU8);
  device_frames_ = backend.allocate(frames, DType::kU8);
  noise_ = Tensor(latent_shape, DType::kF32);
  device_noise_ = backend.allocate(latent_shape, DType::kF32);
}

bool RectifiedFlow::active(size_t frame, int step) const {
  return frame_mask_[frame] * kTimeRange >= timestep(step);
}

bool RectifiedFlow::newly_active(int step) {
  bool any = false;
  for (size_t i = 0; i < frame_mask_.size(); ++i) {
    // Before the first step a frame counts as noised when it is to be generated; afterwards when
    // it was active in the step before.
    const bool noised = step == 0 ? frame_mask_[i] == 1.0f : active(i, step - 1);
    const bool joins = active(i, step) && !noised;
    newly_active_.view().u8()[i] = joins ? 1 : 0;
    any = any || joins;
  }
  return any;
}

void RectifiedFlow::renoise(int step, TensorView latent, const NoiseSource& noise) {
  noise(step, noise_);
  backend_.upload(noise_, device_noise_);
  backend_.upload(newly_active_, device_frames_);
  backend_.renoise_frames({.latent = latent,
                           .noise = device_noise_,
                           .frame = device_frames_,
                           .t = timestep(step) / kTimeRange});
}

void RectifiedFlow::step(int step, TensorView latent, const VelocityModel& model,
                         const NoiseSource& noise) {
  check(step >= 0 && step < steps(), "step outside of the sampler's range");
  VelocityRequest request{.step = step, .timestep = timestep(step), .latent = latent, .x_mask = {}};
  bool all_active = true;
  if (!frame_mask_.empty()) {
    if (newly_active(step)) renoise(step, latent, noise);
    for (size_t i = 0; i < frame_mask_.size(); ++i) active_.view().u8()[i] = active(i, step);
    const uint8_t* const first = active_.view().u8();
    all_active = std::all_of(first, first + active_.elements(), [](uint8_t a) { return a != 0; });
    if (!all_active) request.x_mask = active_;
  }
  const ConstTensorView velocity = model(request);
  const float next = step + 1 < steps() ? timestep(step + 1) : 0.0f;
  GuidedEulerArgs update{.latent = latent,
                         .model_out = velocity,
                         .guidance = static_cast<float>(guidance_),
                         .delta = (timestep(step) - next) / kTimeRange,
                         .update_frame = {}};
  if (!all_active) {
    backend_.upload(active_, device_frames_);
    update.update_frame = device_frames_;
  }
  backend_.guided_euler(update);
}

}  // namespace engine
