#include "pipeline/latent_stage.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <utility>
#include <vector>

#include "pipeline/families.h"
#include "pipeline/stdit3_shape.h"
#include "samplers/noise.h"
#include "samplers/rectified_flow.h"

namespace engine {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

Tensor mask_of_ones(int64_t frames) {
  Tensor mask(Shape{1, frames}, DType::kF32);
  std::fill_n(mask.f32(), frames, 1.0f);
  return mask;
}

// Gathers the module reports of a step. Indices are copied: their buffer is used again at once.
class StepCollector {
 public:
  void begin() {
    report_ = {};
    indices_.clear();
    start_ = Clock::now();
  }

  void add(const ModuleReport& module) {
    ModuleReport kept = module;
    if (!module.indices.empty()) {
      indices_.emplace_back(module.indices.shape(), DType::kI32);
      std::memcpy(indices_.back().view().data(), module.indices.data(), module.indices.bytes());
      kept.indices = indices_.back();
    }
    report_.flops += module.flops;
    report_.modules.push_back(kept);
  }

  const StepReport& finish(int step, int steps, double timestep, double flops_none) {
    report_.step = step;
    report_.steps = steps;
    report_.timestep = timestep;
    report_.seconds = seconds_since(start_);
    report_.flops_none = flops_none;
    return report_;
  }

 private:
  StepReport report_;
  std::vector<Tensor> indices_;
  Clock::time_point start_;
};

}  // namespace

Shape latent_shape(const STDiT3Config& config, const RenderRequest& request) {
  const LatentSize size = latent_size(request);
  return Shape{1, config.in_channels, size.frames, size.height, size.width};
}

Tensor denoise(Backend& backend, const STDiT3Weights& weights, const DenoiseJob& job) {
  const RenderRequest& request = *job.request;
  const Shape shape = latent_shape(weights.config, request);
  const auto family = make_stdit3_family(weights.config);
  const auto policy = make_policy(request.policy, family->policy_context(request));
  STDiT3 model(backend, weights, stdit3_shape(request), *policy);

  const STDiT3Text text =
      encode_captions(backend, weights, job.caption->embedding, job.caption->mask, /*guided=*/true);
  const std::array<float, 1> fps{static_cast<float>(request.frames == 1 ? kImageFps : request.fps)};
  model.condition(text, fps);
  const std::array<uint64_t, 1> seeds{request.seed};
  model.seed(seeds);

  Tensor latent = backend.allocate(shape, DType::kF32);
  backend.upload(job.initial_latent, latent);

  const Tensor ones = mask_of_ones(shape[2]);
  TimestepSettings times = visited_times(request, *policy);
  times.upstream_fidelity = job.published_sampler || times.upstream_fidelity;
  RectifiedFlow sampler(backend, rectified_flow_timesteps(times), request.guidance, shape,
                        job.published_sampler ? ConstTensorView(ones) : ConstTensorView());

  StepCollector collector;
  const StepHooks hooks{.cancelled = job.cancelled,
                        .on_module = [&](const ModuleReport& module) { collector.add(module); },
                        .want_indices = job.want_indices,
                        .selection = job.selection,
                        .tap = {}};
  const VelocityModel velocity = [&](const VelocityRequest& at) {
    const std::array<float, 1> time{at.timestep};
    return model.step(
        {.step = at.step, .latent = at.latent, .timesteps = time, .x_mask = at.x_mask}, hooks);
  };
  const NoiseSource noise = [&](int step, TensorView out) {
    fill_step_noise(out, request.seed, step);
  };
  for (int step = job.first_step; step < sampler.steps(); ++step) {
    if (job.between_steps) job.between_steps(step, latent);
    collector.begin();
    sampler.step(step, latent, velocity, noise);
    const double flops_none = job.flops_none / sampler.steps();
    const StepReport& report =
        collector.finish(step, sampler.steps(), sampler.timestep(step), flops_none);
    if (job.on_step) job.on_step(report);
  }
  if (job.between_steps) job.between_steps(sampler.steps(), latent);
  return latent;
}

}  // namespace engine
