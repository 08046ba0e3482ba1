// What a policy wants kept and measured: the engine allocates and measures just that, and the plan
// counts its bytes.
#pragma once

#include <limits>
#include <optional>

#include "core/dtype.h"
#include "engine/plan.h"

namespace engine {

// Layers [first, last) of the trunk.
struct LayerSpan {
  int first = 0;
  int last = std::numeric_limits<int>::max();  // beyond the model's depth: to its end
};

// What is kept of the layers that a trunk decision speaks of.
enum class TrunkKept : uint8_t {
  kNothing,
  kResidual,  // what they added to the residual stream: x + R stands in for running them
  kOutput,    // the stream after them: it replaces x
};

// How tokens that a choice for all blocks leaves out pass them.
enum class SharedFold : uint8_t {
  kNone,   // no such choice is made
  kExact,  // as the sum of what every block has kept
  kTrunk,  // as what is kept of the trunk
};

// What a step does with the unconditional half of the guidance pair: compute it with the other, or
// restore it from the other and the differences kept, times these weights (guidance_cache.h).
struct GuidanceDecision {
  bool computed = true;
  double low_weight = 1, high_weight = 1;
};

struct ModulePlace {
  int layer = 0;
  BlockKind block = BlockKind::kSpatial;
  Module module = Module::kSelfAttention;
};

// Changes to measure, each over all tokens and channels of both guidance halves.
struct ChangeNeeds {
  bool modulated_input = false;  // of the first block, against the step before
  bool input = false;            // of the trunk, against the step before
  bool front = false;     // what the layers before the span add, against the last step that ran it
  bool residual = false;  // of the span, against the one kept; where it runs
  bool output = false;    // of the trunk, against the step before; the reference is the new one
  // The stream after the last block as its forecasts leave it, against what is computed from the
  // same input; where the run verifies.
  bool verification = false;
  // A module's output against the one before; where it is refreshed.
  std::optional<ModulePlace> module = std::nullopt;

  bool any() const {
    return modulated_input || input || front || residual || output || verification ||
           module.has_value();
  }
};

// Groups of tokens that stand for each other in the MLP of every block.
struct ClusterSettings {
  int64_t count = 0;   // of groups, no more than tokens; 0: none are made
  int iterations = 1;  // of k-means at each refresh
  float weight = 0;    // of the computed token in the values of its group
};

// What the policies keep between steps.
struct CacheNeeds {
  bool features = false;  // module outputs [2n, N, C] of every block and module
  bool scores = false;    // counters and, for scores that are stored, a float per token and block
  int orders = 0;         // of differences beside each module output, for forecasts
  TrunkKept trunk = TrunkKept::kNothing;
  int trunk_orders = 0;  // of differences beside what is kept of the trunk
  SharedFold shared = SharedFold::kNone;
  bool merges_guidance = false;  // both guidance halves, of modules kept
  // How the two halves of what the model predicts differ, in low and in high frequencies.
  bool guidance = false;
  ChangeNeeds changes = {};
  ClusterSettings clusters = {};
  // In which module outputs, differences and the trunk are kept: kF32, kBF16 or kF8. What is
  // measured is not.
  DType dtype = DType::kF32;

  // Whether a refresh is made beside what is kept, which is needed once more or rounded.
  bool refreshes_apart() const {
    return orders > 0 || changes.verification || clusters.count > 0 ||
           (features && dtype != DType::kF32);
  }
  // A residual alone is made in its own place, in fp32.
  bool rounds_trunk() const {
    return trunk == TrunkKept::kOutput || (trunk == TrunkKept::kResidual && trunk_orders > 0);
  }
};

// One measured change, from `old` to `new`.
struct Change {
  double difference = 0;  // Σ |new - old|
  double reference = 0;   // Σ |old|

  // Relative L1; infinite where something came of nothing.
  double relative() const { return difference == 0 ? 0 : difference / reference; }
};

// What was measured in a step so far; empty where it was not asked for, or had nothing before it.
struct StepChanges {
  std::optional<Change> modulated_input, input, front, residual, output, verification, module;
};

}  // namespace engine
