// The spelling of blocks, modules and decisions in reports, traces and metrics.
#include "engine/plan.h"

namespace engine {

const char* block_kind_name(BlockKind block) {
  switch (block) {
    case BlockKind::kSpatial:
      return "spatial";
    case BlockKind::kTemporal:
      return "temporal";
    case BlockKind::kJoint:
      break;
  }
  return "joint";
}

const char* module_name(Module module) {
  switch (module) {
    case Module::kSelfAttention:
      return "self_attention";
    case Module::kCrossAttention:
      return "cross_attention";
    case Module::kMlp:
      break;
  }
  return "mlp";
}

const char* decision_name(Decision decision) {
  switch (decision) {
    case Decision::kRefresh:
      return "refresh";
    case Decision::kPartial:
      return "partial";
    case Decision::kReuse:
      return "reuse";
    case Decision::kForecast:
      return "forecast";
    case Decision::kConditional:
      break;
  }
  return "conditional";
}

const char* trunk_decision_name(TrunkDecision decision) {
  switch (decision) {
    case TrunkDecision::kRun:
      return "run";
    case TrunkDecision::kReuse:
      return "reuse";
    case TrunkDecision::kForecast:
      break;
  }
  return "forecast";
}

}  // namespace engine
