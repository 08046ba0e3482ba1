#include "pipeline/stdit3_clip.h"

#include <algorithm>
#include <array>

#include "core/check.h"
#include "pipeline/families.h"
#include "pipeline/prompt_encoder.h"
#include "pipeline/stdit3_shape.h"
#include "samplers/rectified_flow.h"

namespace engine {
namespace {

Tensor mask_of_ones(int64_t frames) {
  Tensor mask(Shape{1, frames}, DType::kF32);
  std::fill_n(mask.f32(), frames, 1.0f);
  return mask;
}

RectifiedFlow sampler_of(Backend& backend, const DenoiseJob& job, const CachePolicy& policy) {
  const RenderRequest& request = *job.request;
  TimestepSettings times = visited_times(request, policy);
  times.upstream_fidelity = job.published_sampler || times.upstream_fidelity;
  const Shape shape = job.initial_latent.shape();
  const Tensor ones = mask_of_ones(shape[2]);
  return {backend, rectified_flow_timesteps(times), request.guidance, shape,
          job.published_sampler ? ConstTensorView(ones) : ConstTensorView()};
}

// Rectified flow keeps nothing from step to step.
class STDiT3Sampler : public ClipSampler {
 public:
  STDiT3Sampler(Backend& backend, const STDiT3Weights& weights, const CachePolicy& policy,
                const DenoiseJob& job)
      : seed_(job.request->seed),
        text_(encode_captions(backend, weights, job.conditions->caption.embedding,
                              job.conditions->caption.mask, /*guided=*/true)),
        model_(backend, weights, stdit3_shape(*job.request), policy),
        sampler_(sampler_of(backend, job, policy)) {
    const RenderRequest& request = *job.request;
    const double fps = request.frames == 1 ? kImageFps : request.fps;
    model_.condition(text_, std::array<float, 1>{static_cast<float>(fps)});
    model_.seed(std::array<uint64_t, 1>{seed_});
  }

  int steps() const override { return sampler_.steps(); }
  double timestep(int step) const override { return sampler_.timestep(step); }

  void step(int step, TensorView latent, const StepHooks& hooks) override {
    const VelocityModel velocity = [&](const VelocityRequest& at) {
      const std::array<float, 1> time{at.timestep};
      return model_.step(
          {.step = at.step, .latent = at.latent, .timesteps = time, .x_mask = at.x_mask}, hooks);
    };
    const NoiseSource noise = [&](int at, TensorView out) { fill_step_noise(out, seed_, at); };
    sampler_.step(step, latent, velocity, noise);
  }

  ConstTensorView history() const override { return {}; }
  void restore(ConstTensorView history) override {
    check(history.empty(), "rectified flow carries nothing from step to step");
  }

 private:
  uint64_t seed_;
  STDiT3Text text_;
  STDiT3 model_;
  RectifiedFlow sampler_;
};

class STDiT3Clip : public ClipModel {
 public:
  STDiT3Clip(ModelParts& parts, DType dtype)
      : backend_(parts.backend()),
        weights_(parts.load("transformer", dtype,
                            [&](const std::filesystem::path& folder) {
                              return load_stdit3(folder, backend_, dtype);
                            })),
        text_(parts, weights_.config.model_max_length, dtype),
        vae_(parts.load("vae", dtype, [&](const std::filesystem::path& folder) {
          return VideoVae::load(backend_.finishing_lane(), folder, dtype);
        })) {}

  Conditions condition(const std::string& prompt, const std::function<bool()>& cancelled) override {
    return {.caption = text_.encode(prompt, cancelled), .unconditional = {}};
  }
  bool awaits_text_encoder(const std::string& prompt) override {
    return !text_.loaded() && !text_.kept({prompt});
  }
  bool has_text_encoder() const override { return text_.loaded(); }
  Tensor denoise(const DenoiseJob& job) override {
    return engine::denoise(backend_, weights_, job);
  }
  void decode(ConstTensorView latent, int frames, const VaeFrameSink& sink,
              const VaeHooks& hooks) override {
    const Shape& shape = latent.shape();
    vae_.decode(latent.reshaped({shape[1], shape[2], shape[3], shape[4]}), frames, sink, hooks);
  }
  void release_workspace() override { vae_.release_workspace(); }

 private:
  Backend& backend_;
  STDiT3Weights weights_;
  PromptEncoder text_;
  VideoVae vae_;
};

}  // namespace

Tensor denoise(Backend& backend, const STDiT3Weights& weights, const DenoiseJob& job) {
  const RenderRequest& request = *job.request;
  const auto family = make_stdit3_family(weights.config);
  const auto policy = make_policy(request.policy, family->policy_context(request));
  STDiT3Sampler sampler(backend, weights, *policy, job);
  return run_sampler(backend, sampler, *policy, job);
}

std::unique_ptr<ClipModel> load_stdit3_clip(ModelParts& parts, DType dtype) {
  return std::make_unique<STDiT3Clip>(parts, dtype);
}

}  // namespace engine
