// The decisions of one attempt. A static policy's run repeats its table; a dynamic one's decides
// from what the engine measures, and forgets all of it at a refresh point: an attempt that is
// resumed there decides the same.
#pragma once

#include "cache/cache_needs.h"

namespace engine {

struct ModuleSite {
  int step = 0;
  int layer = 0;
  BlockKind block = BlockKind::kSpatial;
  Module module = Module::kSelfAttention;
};

struct ModuleDecision {
  Decision decision = Decision::kRefresh;
  // Computed per batch row: N for refresh, K for partial (may be 0), 0 for reuse and forecast.
  int64_t tokens = 0;
};

class PolicyRun {
 public:
  virtual ~PolicyRun() = default;
  // Asked once a step, in order, when the layers before the policy's span have run and what they
  // tell is measured. A run's first step must be kRun.
  virtual TrunkDecision decide_trunk(int step, const StepChanges& changes) = 0;
  // Asked after decide_trunk() about the modules that run, of layers in front of the span before
  // it. Of a static policy also about the step after.
  virtual ModuleDecision decide(const ModuleSite& site) const = 0;
  // Asked after decide_trunk(): the last block is computed beside its forecast, which is compared
  // with it. What is computed goes on, and is not kept.
  virtual bool verifies() const { return false; }
  // Asked after decide_trunk(): nothing cached before this step is needed at it or after it.
  virtual bool is_refresh_point(int step) const = 0;
  // The step is over, with all that was measured in it.
  virtual void end_step(int /*step*/, const StepChanges& /*changes*/) {}
};

}  // namespace engine
