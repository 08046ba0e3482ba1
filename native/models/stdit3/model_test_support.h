// Renders of the tiny golden model on the fast backend, from seeds.
#pragma once

#include <gtest/gtest.h>

#include <cstring>

#include "models/stdit3/model.h"
#include "models/transformer/promises_test_support.h"
#include "samplers/noise.h"
#include "samplers/rectified_flow.h"

namespace engine {

inline constexpr int kSteps = 8;

class STDiT3Test : public testing::Test {
 protected:
  STDiT3Test() : backend_(make_backend()), weights_(load_tiny()) {}

  STDiT3Weights load_tiny() {
    return load_stdit3(std::string(TOCAFARM_TEST_DATA) + "/models/stdit3-tiny", *backend_,
                       DType::kF32);
  }

  struct Clip {
    uint64_t seed;
    int64_t text_tokens;
  };

  // Runs steps [first, last) of a batch on `latent` (made from the seeds when empty).
  Tensor run(const std::vector<Clip>& clips, const PolicySpec& spec, int first = 0,
             int last = kSteps, const Tensor* start = nullptr, const StepHooks& hooks = {},
             ConstTensorView frame_mask = {}) {
    const auto policy =
        make_policy(spec, {.steps = kSteps, .depth = weights_.config.depth, .tokens = 12});
    return run_policy(clips, *policy, first, last, start, hooks, frame_mask);
  }

  Tensor run_policy(const std::vector<Clip>& clips, const CachePolicy& policy, int first = 0,
                    int last = kSteps, const Tensor* start = nullptr, const StepHooks& hooks = {},
                    ConstTensorView frame_mask = {}) {
    const auto n = static_cast<int64_t>(clips.size());
    const STDiT3Shape shape{.clips = n,
                            .latent_frames = 2,
                            .latent_height = 4,
                            .latent_width = 5,
                            .pixel_height = 32,
                            .pixel_width = 40};
    STDiT3 model(*backend_, weights_, shape, policy);
    const STDiT3Text text = encode(clips);
    const std::vector<float> fps(clips.size(), 24.0f);
    model.condition(text, fps);
    model.seed(seeds_of(clips));

    Tensor latent({n, 4, 2, 4, 5}, DType::kF32);
    for (int64_t i = 0; i < n; ++i) {
      fill_initial_latent(latent.view().rows(i, 1), clips[static_cast<size_t>(i)].seed);
    }
    if (start != nullptr) std::memcpy(latent.f32(), start->f32(), latent.bytes());
    RectifiedFlow sampler(*backend_,
                          rectified_flow_timesteps({.steps = kSteps,
                                                    .pixel_height = 32,
                                                    .pixel_width = 40,
                                                    .frames = 5,
                                                    .latent_frames = 2}),
                          7.0, latent.shape(), frame_mask);
    const VelocityModel velocity = [&](const VelocityRequest& request) {
      const std::vector<float> times(clips.size(), request.timestep);
      return model.step({.step = request.step,
                         .latent = request.latent,
                         .timesteps = times,
                         .x_mask = request.x_mask},
                        hooks);
    };
    const NoiseSource noise = [&](int step, TensorView out) {
      fill_step_noise(out, clips[0].seed, step);
    };
    for (int step = first; step < last; ++step) sampler.step(step, latent, velocity, noise);
    return latent;
  }

  STDiT3Text encode(const std::vector<Clip>& clips) {
    const auto n = static_cast<int64_t>(clips.size());
    const int64_t length = 6, width = weights_.config.caption_channels;
    Tensor captions({n, length, width}, DType::kF32), mask({n, length}, DType::kI32);
    for (int64_t clip = 0; clip < n; ++clip) {
      const Clip& each = clips[static_cast<size_t>(clip)];
      float* const rows = captions.f32() + clip * length * width;
      fill_initial_latent(TensorView(rows, DType::kF32, {1, 1, 1, length, width}), each.seed + 100);
      for (int64_t i = 0; i < length; ++i) {
        mask.view().i32()[clip * length + i] = i < each.text_tokens;
      }
    }
    return encode_captions(*backend_, weights_, captions, mask, true);
  }

  std::unique_ptr<Backend> backend_;
  STDiT3Weights weights_;
};

}  // namespace engine
