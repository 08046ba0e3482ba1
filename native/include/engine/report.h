// What a render tells while it runs. Reports arrive on the engine's own thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/tensor_view.h"
#include "engine/plan.h"

namespace engine {

// One module call, as it was executed.
struct ModuleReport {
  int step = 0;
  int layer = 0;
  BlockKind block = BlockKind::kSpatial;
  Module module = Module::kSelfAttention;
  Decision decision = Decision::kRefresh;
  int64_t tokens_computed = 0;  // over all batch rows
  int64_t tokens_reused = 0;    // computed + reused = tokens that passed
  double seconds = 0;
  double flops = 0;  // nominal
  // Of a refresh whose cache had been in use: mean |new - kept| / mean |new| over a fixed sample of
  // rows.
  std::optional<double> drift;
  ConstTensorView indices;  // [B, K], i32, host memory: only when asked for, else empty
};

struct StepReport {
  int step = 0;
  int steps = 0;
  double timestep = 0;
  TrunkDecision trunk = TrunkDecision::kRun;
  double seconds = 0;
  double flops = 0;
  double flops_none = 0;  // what policy none would have computed in this step
  std::vector<ModuleReport> modules;
};

// Where the wall time of a clip goes.
enum class Stage : uint8_t { kLoad, kTextEncode, kDenoise, kDecode };
const char* stage_name(Stage stage);  // "load", "text_encode", "denoise", "decode"

}  // namespace engine
