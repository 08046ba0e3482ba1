// Noise to latent: the loop over a sampler's steps, whatever model and sampler take them.
#pragma once

#include <functional>

#include "cache/cache_policy.h"
#include "engine/report.h"
#include "models/transformer/step_hooks.h"
#include "pipeline/conditions.h"

namespace engine {

// What a render is between two steps, in the device's memory.
struct LatentState {
  ConstTensorView latent;        // [1, C, T, h, w], fp32
  ConstTensorView history = {};  // what the sampler needs beside it; empty: nothing
  // The render can be resumed from here, with nothing else.
  bool refresh_point = false;
};

// One segment to denoise.
struct DenoiseJob {
  const RenderRequest* request = nullptr;
  const Conditions* conditions = nullptr;
  int first_step = 0;               // a refresh point of the policy
  ConstTensorView initial_latent;   // before first_step: [1, C, T, h, w], fp32, host
  ConstTensorView initial_history;  // of the sampler, the same shape, host; empty where none is
  double flops_none = 0;            // of the whole render under policy none, for the reports
  // Sample as the published code does to the last bit: a frame mask of ones, times as they round
  // there.
  bool published_sampler = false;
  bool want_indices = false;
  SelectionObserver* selection = nullptr;
  ChangeRecorder* recorder = nullptr;  // under policy none
  std::function<bool()> cancelled;
  std::function<void(const StepReport&)> on_step;
  // Called with the state before a step, and with the number of steps after the last: before the
  // step, or under a dynamic policy in it, when it is known to be a refresh point or none.
  std::function<void(int step, const LatentState& state)> between_steps = {};
};

// A transformer and its sampler, prepared for one clip.
class ClipSampler {
 public:
  virtual ~ClipSampler() = default;

  virtual int steps() const = 0;
  virtual double timestep(int step) const = 0;
  // One step on `latent` (device). Steps come in order, from 0 or from where restore() was told.
  virtual void step(int step, TensorView latent, const StepHooks& hooks) = 0;
  // What the next step needs beside the latent, device; empty: nothing.
  virtual ConstTensorView history() const = 0;
  // Takes up a render with the history it was cut with (device).
  virtual void restore(ConstTensorView history) = 0;
};

// Takes the job's steps under the model's policy. Returns the final latent, device memory. Throws
// Error(kCancelled) within a block, and what between_steps throws.
Tensor run_sampler(Backend& backend, ClipSampler& sampler, const CachePolicy& policy,
                   const DenoiseJob& job);

}  // namespace engine
