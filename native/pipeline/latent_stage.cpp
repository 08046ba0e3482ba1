#include "pipeline/latent_stage.h"

#include <chrono>
#include <cstring>
#include <optional>
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

  void set_trunk(TrunkDecision decision) { report_.trunk = decision; }

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

// The state before a step, for as long as a dynamic policy has not decided whether the render can
// be resumed from there.
class StateBefore {
 public:
  StateBefore(Backend& backend, const Shape& shape)
      : backend_(backend), latent_(backend.allocate(shape, DType::kF32)) {}

  void keep(ConstTensorView latent, ConstTensorView history) {
    backend_.convert({.input = latent, .output = latent_});
    has_history_ = !history.empty();
    if (!has_history_) return;
    if (history_.empty()) history_ = backend_.allocate(history.shape(), DType::kF32);
    backend_.convert({.input = history, .output = history_});
  }
  LatentState state(bool refresh_point) const {
    return {latent_, has_history_ ? ConstTensorView(history_) : ConstTensorView(), refresh_point};
  }

 private:
  Backend& backend_;
  Tensor latent_, history_;
  bool has_history_ = false;
};

}  // namespace

Tensor run_sampler(Backend& backend, ClipSampler& sampler, const CachePolicy& policy,
                   const DenoiseJob& job) {
  Tensor latent = on_device(backend, job.initial_latent);
  if (!job.initial_history.empty()) sampler.restore(on_device(backend, job.initial_history));
  const auto between_steps = [&job](int step, const LatentState& state) {
    if (job.between_steps) job.between_steps(step, state);
  };
  std::optional<StateBefore> before;
  if (policy.is_dynamic()) before.emplace(backend, latent.shape());

  StepCollector collector;
  const StepHooks hooks{.cancelled = job.cancelled,
                        .on_module = [&](const ModuleReport& module) { collector.add(module); },
                        .want_indices = job.want_indices,
                        .selection = job.selection,
                        .recorder = job.recorder,
                        .tap = {},
                        .on_trunk =
                            [&](int step, TrunkDecision decision, bool refresh_point) {
                              collector.set_trunk(decision);
                              if (before) between_steps(step, before->state(refresh_point));
                            }};
  for (int step = job.first_step; step < sampler.steps(); ++step) {
    if (before) {
      before->keep(latent, sampler.history());
    } else {
      between_steps(step, {latent, sampler.history(), policy.is_refresh_point(step)});
    }
    collector.begin();
    sampler.step(step, latent, hooks);
    const double flops_none = job.flops_none / sampler.steps();
    const StepReport& report =
        collector.finish(step, sampler.steps(), sampler.timestep(step), flops_none);
    if (job.on_step) job.on_step(report);
  }
  // What comes after the last step needs the latent alone.
  between_steps(sampler.steps(), {latent, {}, true});
  return latent;
}

}  // namespace engine
