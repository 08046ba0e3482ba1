#include "pipeline/latent_stage.h"

#include <chrono>
#include <cstring>
#include <utility>
#include <vector>

namespace engine {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
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

Tensor on_device(Backend& backend, ConstTensorView host) {
  Tensor copy = backend.allocate(host.shape(), host.dtype());
  backend.upload(host, copy);
  return copy;
}

}  // namespace

Tensor run_sampler(Backend& backend, ClipSampler& sampler, const DenoiseJob& job) {
  Tensor latent = on_device(backend, job.initial_latent);
  if (!job.initial_history.empty()) sampler.restore(on_device(backend, job.initial_history));
  StepCollector collector;
  const StepHooks hooks{.cancelled = job.cancelled,
                        .on_module = [&](const ModuleReport& module) { collector.add(module); },
                        .want_indices = job.want_indices,
                        .selection = job.selection,
                        .tap = {}};
  for (int step = job.first_step; step < sampler.steps(); ++step) {
    if (job.between_steps) job.between_steps(step, {latent, sampler.history()});
    collector.begin();
    sampler.step(step, latent, hooks);
    const double flops_none = job.flops_none / sampler.steps();
    const StepReport& report =
        collector.finish(step, sampler.steps(), sampler.timestep(step), flops_none);
    if (job.on_step) job.on_step(report);
  }
  // What comes after the last step needs the latent alone.
  if (job.between_steps) job.between_steps(sampler.steps(), {latent, {}});
  return latent;
}

}  // namespace engine
