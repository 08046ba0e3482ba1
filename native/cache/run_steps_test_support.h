// Runs of dynamic policies on changes that a test gives.
#pragma once

#include <functional>
#include <vector>

#include "cache/cache_policy.h"

namespace engine {

inline Change relative_change(double change) {
  return {.difference = change * 1000, .reference = 1000};
}

// Steps at which the span runs. `measure` gives all that the engine would measure at a step, were
// it to run.
inline std::vector<int> run_steps(const CachePolicy& policy, int steps,
                                  const std::function<StepChanges(int step)>& measure) {
  const std::unique_ptr<PolicyRun> run = policy.begin();
  std::vector<int> ran;
  for (int step = 0; step < steps; ++step) {
    StepChanges changes = measure(step);
    const bool runs = run->decide_trunk(step, changes) == TrunkDecision::kRun;
    if (runs) ran.push_back(step);
    if (!runs) changes.module.reset();
    run->end_step(step, changes);
  }
  return ran;
}

}  // namespace engine
