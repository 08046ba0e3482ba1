#include "pipeline/image_clip.h"

#include "core/check.h"

namespace engine {

void ImageSampler::step(int step, TensorView latent, const StepHooks& hooks) {
  const NoiseModel model = [&](const NoiseRequest& request) { return predict_(request, hooks); };
  const NoiseSource noise = [&](int at, TensorView out) { fill_step_noise(out, seed_, at); };
  sampler_->step(step, latent, model, noise);
}

void ImageClip::decode(ConstTensorView latent, int frames, const VaeFrameSink& sink,
                       const VaeHooks& hooks) {
  check(frames == 1 && latent.dim(0) == 1, "an image model decodes one picture");
  vae_.decode(latent, sink, hooks);
}

}  // namespace engine
