// What calibration records of a clip: how far what the trunk and each module add to the residual
// stream is from what they added at earlier steps, which is the error of reusing it, and what comes
// of such an error in the frames.
#pragma once

#include <vector>

#include "engine/plan.h"

namespace engine {

// Earlier steps that a step is compared with: reuse over longer spans is not considered, and memory
// is bounded.
inline constexpr int kRecordedSteps = 16;

// Between two clips' values of 0 to 255.
struct FrameDifference {
  double mean_absolute = 0;
  double root_mean_square = 0;
};

// Sizes in the stream are root mean squares over a fixed sample of rows.
struct ModuleChanges {
  int layer = 0;
  BlockKind block = BlockKind::kSpatial;
  Module module = Module::kSelfAttention;
  // Against the step before, the one before that, ...: min(step, kRecordedSteps) of them.
  std::vector<double> changes;
};

struct StepRecord {
  int step = 0;
  double timestep = 0;        // 0 .. 1000
  double stream = 0;          // size of the stream after the last block
  std::vector<double> trunk;  // of all blocks together; as ModuleChanges::changes
  // By how much the frames are others (mean absolute difference of values of 0 to 255) when only
  // this step reuses what the trunk added in the step before; 0 at step 0.
  double output = 0;
  std::vector<ModuleChanges> modules;  // in order of execution
};

}  // namespace engine
