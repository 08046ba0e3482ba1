// Updates of the latent, in float, in the order in which the formulas are written.
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

}  // namespace engine::plain
