#include "samplers/timesteps.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace engine {

namespace {

// The frames by which the time transform grows.
float transform_frames(const TimestepSettings& settings) {
  if (settings.frames == 1) return 1.0f;
  const int frames = settings.frames / 17 * 5;
  if (frames == 0 && !settings.upstream_fidelity) {
    return static_cast<float>(settings.latent_frames);
  }
  return static_cast<float>(frames);
}

}  // namespace

float timestep_shift(const TimestepSettings& settings) {
  const float pixels =
      static_cast<float>(settings.pixel_height) * static_cast<float>(settings.pixel_width);
  const float space = std::sqrt(pixels / (512.0f * 512.0f));
  return space * std::sqrt(transform_frames(settings));
}

std::vector<float> rectified_flow_timesteps(const TimestepSettings& settings) {
  check(settings.steps > 0, "a sampler needs at least one step");
  std::vector<float> times(static_cast<size_t>(settings.steps));
  const float ratio = timestep_shift(settings);
  for (int i = 0; i < settings.steps; ++i) {
    const double linear = (1.0 - static_cast<double>(i) / settings.steps) * kTimeRange;
    float time = static_cast<float>(linear);
    if (settings.time_transform) {
      const float u = time / kTimeRange;
      time = ratio * u / (1.0f + (ratio - 1.0f) * u) * kTimeRange;
    }
    times[static_cast<size_t>(i)] = settings.upstream_fidelity ? time : std::min(time, kTimeRange);
  }
  return times;
}

}  // namespace engine
