// Who may look into a step while it runs, and who may stop it.
#pragma once

#include <functional>
#include <string>

#include "cache/change_recorder.h"
#include "cache/token_selector.h"
#include "engine/report.h"

namespace engine {

// Sees intermediate tensors by name ("x_in", "block.0.spatial", "module.0.spatial.mlp", ...), in
// the device's memory, valid during the call. For comparisons with a reference.
using TensorTap = std::function<void(const std::string& name, ConstTensorView tensor)>;

struct StepHooks {
  // Asked between blocks; true ends the step with Error(kCancelled).
  std::function<bool()> cancelled;
  // Called after every module. Seconds are wall time of the calling thread: on a device with a
  // queue the time to queue the work.
  std::function<void(const ModuleReport&)> on_module;
  bool want_indices = false;  // fill ModuleReport::indices
  SelectionObserver* selection = nullptr;
  // Of one clip under policy none, which computes everything.
  ChangeRecorder* recorder = nullptr;
  TensorTap tap;
  // Called when it is decided what the step does with the trunk, before the layers that this speaks
  // of: whether the step is a refresh point of this run.
  std::function<void(int step, TrunkDecision decision, bool refresh_point)> on_trunk = {};
};

}  // namespace engine
