// What clips of PixArt-alpha and DiT have in common: one picture, a sampler of predicted noise, the
// image VAE.
#pragma once

#include <memory>

#include "models/image_vae/model.h"
#include "pipeline/clip_model.h"
#include "pipeline/model_family.h"
#include "samplers/diffusion_sampler.h"

namespace engine {

// A sampler over a transformer that was given its conditions.
class ImageSampler : public ClipSampler {
 public:
  // What the transformer says of a latent.
  using Predict =
      std::function<ConstTensorView(const NoiseRequest& request, const StepHooks& hooks)>;

  ImageSampler(std::unique_ptr<DiffusionSampler> sampler, uint64_t seed, Predict predict)
      : sampler_(std::move(sampler)), seed_(seed), predict_(std::move(predict)) {}

  int steps() const override { return sampler_->steps(); }
  double timestep(int step) const override { return sampler_->timestep(step); }
  void step(int step, TensorView latent, const StepHooks& hooks) override;
  ConstTensorView history() const override { return sampler_->history(); }
  void restore(ConstTensorView history) override { sampler_->restore(history); }

 private:
  std::unique_ptr<DiffusionSampler> sampler_;
  uint64_t seed_;
  Predict predict_;
};

class ImageClip : public ClipModel {
 public:
  ImageClip(ModelParts& parts, DType dtype)
      : backend_(parts.backend()),
        vae_(parts.load("vae", dtype, [&](const std::filesystem::path& folder) {
          return ImageVae::load(backend_.finishing_lane(), folder, dtype);
        })) {}

  void decode(ConstTensorView latent, int frames, const VaeFrameSink& sink,
              const VaeHooks& hooks) override;
  void release_workspace() override { vae_.release_workspace(); }

 protected:
  Backend& backend_;

 private:
  ImageVae vae_;
};

// Throw as Engine::load(). `model_index`: the text of model_index.json, or "".
std::unique_ptr<ClipModel> load_pixart_clip(ModelParts& parts, const ModelFamily& family,
                                            DType dtype);
std::unique_ptr<ClipModel> load_dit_clip(ModelParts& parts, const ModelFamily& family,
                                         const std::string& model_index, DType dtype);

}  // namespace engine
