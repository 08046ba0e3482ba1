// A model that tests of samplers can see through: it always finds the noise that a known picture
// was noised with, so every sampler must walk back to that picture.
#pragma once

#include <cmath>
#include <vector>

#include "samplers/diffusion_sampler.h"
#include "samplers/diffusion_schedule.h"

namespace engine {

// Latents of one clip of four pixels, one a channel.
class KnownPicture {
 public:
  static Shape shape() { return {1, 4, 1, 1, 1}; }

  KnownPicture() : output_({2, 8, 1, 1, 1}, DType::kF32) {
    for (int c = 0; c < 4; ++c) {
      // Guidance 2 doubles the way from the unconditional prediction to the conditional one.
      output_.f32()[c] = noise(c) / 2;
      output_.f32()[8 + c] = 0;
      set_variance(c, 0);
    }
  }

  static float picture(int channel) { return 0.25f * static_cast<float>(channel) - 0.5f; }
  static float noise(int channel) { return 1.5f - static_cast<float>(channel); }
  // The picture with the noise of a level: sqrt(alpha) x0 + sqrt(1 - alpha) e.
  static double noised(int channel, double alpha) {
    return std::sqrt(alpha) * static_cast<double>(picture(channel)) +
           std::sqrt(1 - alpha) * static_cast<double>(noise(channel));
  }
  static Tensor latent(double alpha) {
    Tensor latent(shape(), DType::kF32);
    for (int c = 0; c < 4; ++c) latent.f32()[c] = static_cast<float>(noised(c, alpha));
    return latent;
  }

  void set_variance(int channel, float v) { output_.f32()[4 + channel] = v; }

  // Guided in all channels with scale 2 it predicts noise(c).
  NoiseModel model() {
    return [this](const NoiseRequest& request) -> ConstTensorView {
      times.push_back(request.timestep);
      return output_;
    };
  }

  std::vector<float> times;  // that the model was asked at

 private:
  Tensor output_;
};

inline constexpr Guidance kAllChannels{.scale = 2.0, .channels = 4};

}  // namespace engine
