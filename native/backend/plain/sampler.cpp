// Updates of the latent, in float, in the order in which the formulas are written.
#include <algorithm>
#include <cmath>

#include "backend/plain/element.h"
#include "backend/plain/operations.h"
#include "backend/shapes.h"

namespace engine::plain {

void guided_euler(const GuidedEulerArgs& args) {
  check_args(args);
  const Shape latent = args.latent.shape();
  const int64_t pixels = latent[3] * latent[4], channels = args.model_out.dim(1);
  for (int64_t i = 0; i < args.latent.elements(); ++i) {
    const int64_t t = i / pixels % latent[2], c = i / pixels / latent[2] % latent[1];
    const int64_t b = i / pixels / latent[2] / latent[1];
    if (!args.update_frame.empty() && args.update_frame.u8()[b * latent[2] + t] == 0) continue;
    const auto model_out = [&](int64_t row) {
      return args.model_out.f32()[((row * channels + c) * latent[2] + t) * pixels + i % pixels];
    };
    const float conditional = model_out(b), unconditional = model_out(latent[0] + b);
    const float velocity = unconditional + args.guidance * (conditional - unconditional);
    args.latent.f32()[i] += velocity * args.delta;
  }
}

void renoise_frames(const RenoiseFramesArgs& args) {
  check_args(args);
  const Shape latent = args.latent.shape();
  const int64_t pixels = latent[3] * latent[4];
  for (int64_t i = 0; i < args.latent.elements(); ++i) {
    const int64_t t = i / pixels % latent[2], b = i / pixels / latent[2] / latent[1];
    if (args.frame.u8()[b * latent[2] + t] == 0) continue;
    args.latent.f32()[i] = (1.0f - args.t) * args.latent.f32()[i] + args.t * args.noise.f32()[i];
  }
}

void guided_noise(const GuidedNoiseArgs& args) {
  check_args(args);
  const Shape noise = args.noise.shape();
  const int64_t plane = noise[2] * noise[3] * noise[4], channels = args.model_out.dim(1);
  for (int64_t i = 0; i < args.noise.elements(); ++i) {
    const int64_t c = i / plane % noise[1], b = i / plane / noise[1];
    const auto model_out = [&](int64_t row) {
      return args.model_out.f32()[(row * channels + c) * plane + i % plane];
    };
    const float conditional = model_out(b), unconditional = model_out(noise[0] + b);
    args.noise.f32()[i] = c < args.guided_channels
                              ? unconditional + args.guidance * (conditional - unconditional)
                              : conditional;
  }
}

void weighted_sum(const WeightedSumArgs& args) {
  check_args(args);
  for (int64_t i = 0; i < args.output.elements(); ++i) {
    float sum = args.terms[0].weight * load(args.terms[0].tensor, i);
    for (int term = 1; term < args.count; ++term) {
      const WeightedTerm& each = args.terms[static_cast<size_t>(term)];
      sum += each.weight * load(each.tensor, i);
    }
    args.output.f32()[i] = sum;
  }
}

void learned_variance_noise(const LearnedVarianceNoiseArgs& args) {
  check_args(args);
  const int64_t clip = args.latent.elements() / std::max<int64_t>(1, args.latent.dim(0));
  for (int64_t i = 0; i < args.latent.elements(); ++i) {
    const int64_t b = i / clip;
    const auto v = static_cast<double>(args.model_out.f32()[(2 * b + 1) * clip + i % clip]);
    const double f = (v + 1.0) / 2.0;
    const double log_variance = f * static_cast<double>(args.log_variance_max) +
                                (1.0 - f) * static_cast<double>(args.log_variance_min);
    const double noise = std::exp(0.5 * log_variance) * static_cast<double>(args.noise.f32()[i]);
    args.latent.f32()[i] = static_cast<float>(static_cast<double>(args.latent.f32()[i]) + noise);
  }
}

}  // namespace engine::plain
