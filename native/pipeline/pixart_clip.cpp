// Pictures of a PixArt-alpha: T5 captions, DPM-Solver++ with guidance on all channels.
#include <array>
#include <string>
#include <vector>

#include "models/pixart/model.h"
#include "pipeline/image_clip.h"
#include "pipeline/image_family.h"
#include "pipeline/prompt_encoder.h"
#include "samplers/dpm_solver.h"

namespace engine {
namespace {

class PixartClip : public ImageClip {
 public:
  PixartClip(ModelParts& parts, const ModelFamily& family, DType dtype)
      : ImageClip(parts, dtype),
        family_(family),
        weights_(parts.load("transformer", dtype,
                            [&](const std::filesystem::path& folder) {
                              return load_pixart(folder, backend_, dtype);
                            })),
        text_(parts, weights_.config.model_max_length, dtype) {}

  // Diffusers' checkpoints hold no null caption: it is the encoding of the empty prompt there.
  Conditions condition(const std::string& prompt, const std::function<bool()>& cancelled) override {
    Conditions conditions{.caption = text_.encode(prompt, cancelled), .unconditional = {}};
    if (weights_.null_caption.empty()) conditions.unconditional = text_.encode("", cancelled);
    return conditions;
  }

  bool awaits_text_encoder(const std::string& prompt) override {
    std::vector<std::string> prompts{prompt};
    if (weights_.null_caption.empty()) prompts.emplace_back();
    return !text_.loaded() && !text_.kept(prompts);
  }
  bool has_text_encoder() const override { return text_.loaded(); }
  Tensor denoise(const DenoiseJob& job) override {
    const RenderRequest& request = *job.request;
    const auto policy = make_policy(request.policy, family_.policy_context(request));
    const Conditions& conditions = *job.conditions;
    Captions unconditional;
    if (!conditions.unconditional.embedding.empty()) {
      unconditional = {conditions.unconditional.embedding, conditions.unconditional.mask};
    }
    const EncodedText text =
        encode_captions(backend_, weights_, {conditions.caption.embedding, conditions.caption.mask},
                        unconditional, /*guided=*/true);
    Pixart model(backend_, weights_, joint_shape(request), *policy);
    model.condition(text, request.height, request.width);
    model.seed(std::array<uint64_t, 1>{request.seed});

    const Guidance guidance{.scale = request.guidance,
                            .channels = weights_.config.joint.in_channels};
    auto solver = std::make_unique<DpmSolver>(backend_, policy->sampler_steps(request.steps),
                                              guidance, job.initial_latent.shape());
    ImageSampler sampler(
        std::move(solver), request.seed, [&](const NoiseRequest& at, const StepHooks& hooks) {
          const std::array<float, 1> time{at.timestep};
          return model.step({.step = at.step, .latent = at.latent, .timesteps = time}, hooks);
        });
    return run_sampler(backend_, sampler, *policy, job);
  }

 private:
  const ModelFamily& family_;
  PixartWeights weights_;
  PromptEncoder text_;
};

}  // namespace

std::unique_ptr<ClipModel> load_pixart_clip(ModelParts& parts, const ModelFamily& family,
                                            DType dtype) {
  return std::make_unique<PixartClip>(parts, family, dtype);
}

}  // namespace engine
