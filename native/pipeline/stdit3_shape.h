// How a request is asked of a STDiT3 and its sampler, by plan and render alike.
#pragma once

#include "cache/cache_policy.h"
#include "models/stdit3/model.h"
#include "pipeline/model_family.h"
#include "samplers/timesteps.h"

namespace engine {

inline STDiT3Shape stdit3_shape(const RenderRequest& request) {
  const LatentSize size = latent_size(request);
  return {.clips = 1,
          .guided = true,
          .latent_frames = size.frames,
          .latent_height = size.height,
          .latent_width = size.width,
          .pixel_height = static_cast<double>(request.height),
          .pixel_width = static_cast<double>(request.width),
          .text_tokens_nominal = request.text_tokens_nominal};
}

// Of as many steps as the request asks for.
inline TimestepSettings asked_times(const RenderRequest& request) {
  return {.steps = request.steps,
          .pixel_height = static_cast<double>(request.height),
          .pixel_width = static_cast<double>(request.width),
          .frames = request.frames,
          .latent_frames = latent_size(request).frames};
}

// Of the steps that the policy takes.
inline TimestepSettings visited_times(const RenderRequest& request, const CachePolicy& policy) {
  TimestepSettings settings = asked_times(request);
  settings.steps = policy.sampler_steps(request.steps);
  settings.upstream_fidelity = policy.upstream_fidelity();
  return settings;
}

}  // namespace engine
