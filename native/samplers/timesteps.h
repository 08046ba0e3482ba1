// The times a rectified-flow sampler visits, shifted for large pictures and long clips.
#pragma once

#include <cstdint>
#include <vector>

namespace engine {

// Time runs from 1000 (noise) to 0 (picture).
inline constexpr float kTimeRange = 1000.0f;

struct TimestepSettings {
  int steps = 30;
  bool time_transform = true;
  double pixel_height = 0, pixel_width = 0;  // as asked for, not as decoded
  int frames = 1;                            // pixel frames
  int64_t latent_frames = 1;
  // Reproduce the published code: 0/0 for 2 to 16 frames, and a first time of 1000.0001 where
  // float32 rounds so. Otherwise 2 to 16 frames count as their latent frames, and times end at
  // 1000.
  bool upstream_fidelity = false;
};

// r of the transform below.
float timestep_shift(const TimestepSettings& settings);

// t_i = 1000 (1 - i/n), then u' = r u / (1 + (r - 1) u) with u = t / 1000,
// r = sqrt(h w / 512²) sqrt(F), F = 1 for an image, else floor(frames / 17) · 5. In float32 and in
// this order, as the published code has it (open-sora-formats.md, 9).
std::vector<float> rectified_flow_timesteps(const TimestepSettings& settings);

}  // namespace engine
