// Pictures of a DiT: a class, DDIM or DDPM with guidance on the first three channels.
#include <algorithm>
#include <array>

#include "models/dit/labels.h"
#include "models/dit/model.h"
#include "pipeline/image_clip.h"
#include "pipeline/image_family.h"
#include "samplers/ddim.h"
#include "samplers/ddpm.h"

namespace engine {
namespace {

// As published: the fourth channel takes the conditional prediction.
constexpr int64_t kGuidedChannels = 3;

class DitClip : public ImageClip {
 public:
  DitClip(ModelParts& parts, const ModelFamily& family, const std::string& model_index, DType dtype)
      : ImageClip(parts, dtype),
        family_(family),
        weights_(parts.load("transformer", dtype,
                            [&](const std::filesystem::path& folder) {
                              return load_dit(folder, backend_, dtype);
                            })),
        labels_(read_dit_labels(model_index, weights_.config)) {}

  Conditions condition(const std::string& prompt, const std::function<bool()>&) override {
    return {.caption = {}, .unconditional = {}, .label = labels_.label(prompt)};
  }

  Tensor denoise(const DenoiseJob& job) override {
    const RenderRequest& request = *job.request;
    const auto policy = make_policy(request.policy, family_.policy_context(request));
    Dit model(backend_, weights_, joint_shape(request), *policy);
    model.condition(std::array<int32_t, 1>{job.conditions->label});
    model.seed(std::array<uint64_t, 1>{request.seed});
    ImageSampler sampler(
        sampler_of(request, policy->sampler_steps(request.steps), job.initial_latent.shape()),
        request.seed, [&](const NoiseRequest& at, const StepHooks& hooks) {
          const std::array<float, 1> time{at.timestep};
          return model.step({.step = at.step, .latent = at.latent, .timesteps = time}, hooks);
        });
    return run_sampler(backend_, sampler, *policy, job);
  }

 private:
  std::unique_ptr<DiffusionSampler> sampler_of(const RenderRequest& request, int steps,
                                               const Shape& latent) const {
    const Guidance guidance{
        .scale = request.guidance,
        .channels = std::min(kGuidedChannels, weights_.config.joint.in_channels)};
    if (chosen_sampler(family_.traits(), request) == "ddpm") {
      return std::make_unique<Ddpm>(backend_, steps, guidance, latent);
    }
    return std::make_unique<Ddim>(backend_, steps, guidance, latent);
  }

  const ModelFamily& family_;
  DitWeights weights_;
  DitLabels labels_;
};

}  // namespace

std::unique_ptr<ClipModel> load_dit_clip(ModelParts& parts, const ModelFamily& family,
                                         const std::string& model_index, DType dtype) {
  return std::make_unique<DitClip>(parts, family, model_index, dtype);
}

}  // namespace engine
