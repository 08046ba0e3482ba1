// Noise to latent: the sampler's loop over a transformer under a caching policy.
#pragma once

#include <functional>

#include "models/stdit3/model.h"
#include "pipeline/text_stage.h"

namespace engine {

// Conditioning fps of a single image, whatever is asked for (as the model was trained).
inline constexpr double kImageFps = 120;

// One segment to denoise.
struct DenoiseJob {
  const RenderRequest* request = nullptr;
  const Caption* caption = nullptr;
  int first_step = 0;              // a refresh point of the policy
  ConstTensorView initial_latent;  // before first_step: [1, C, T, h, w], fp32, host
  double flops_none = 0;           // of the whole render under policy none, for the reports
  // Sample as the published code does to the last bit: a frame mask of ones, times as they round
  // there.
  bool published_sampler = false;
  bool want_indices = false;
  SelectionObserver* selection = nullptr;
  std::function<bool()> cancelled;
  std::function<void(const StepReport&)> on_step;
  // Called with the device's latent before each step and, with the number of steps, after the last.
  std::function<void(int step, ConstTensorView latent)> between_steps = {};
};

// Shape of a request's latent: [1, C, T, h, w].
Shape latent_shape(const STDiT3Config& config, const RenderRequest& request);

// Returns the final latent, device memory. The cache lives as long as the call.
// Throws Error(kCancelled) within a block, and what between_steps throws.
Tensor denoise(Backend& backend, const STDiT3Weights& weights, const DenoiseJob& job);

}  // namespace engine
