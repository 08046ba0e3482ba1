// What a policy will do for one request, worked out before a render from the model's config alone:
// no weights, no device. The engine executes it, `estimate` prints it, the coordinator stores its
// figures in the log.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/request.h"

namespace engine {

// A block's kind and the module in it, as in every report and metric.
enum class BlockKind : uint8_t { kSpatial, kTemporal, kJoint };
enum class Module : uint8_t { kSelfAttention, kCrossAttention, kMlp };
// kConditional: every token of the conditional half of the guidance pair, none of the other.
enum class Decision : uint8_t { kRefresh, kPartial, kReuse, kForecast, kConditional };
// What a step does with the trunk as a whole, or with the layers of it that a policy skips: run
// them, add or take what they gave last, or extrapolate it.
enum class TrunkDecision : uint8_t { kRun, kReuse, kForecast };

const char* block_kind_name(BlockKind block);  // "spatial", "temporal", "joint"
const char* module_name(Module module);        // "self_attention", "cross_attention", "mlp"
// "refresh", "partial", "reuse", "forecast", "conditional"
const char* decision_name(Decision decision);
const char* trunk_decision_name(TrunkDecision decision);  // "run", "reuse", "forecast"

// One module of one block at one step.
struct PlannedModule {
  int layer = 0;
  BlockKind block = BlockKind::kSpatial;
  Module module = Module::kSelfAttention;
  Decision decision = Decision::kRefresh;
  // Computed per batch row: N, K or 0; of a dynamic policy, if it runs; of kConditional per row of
  // that half.
  int64_t tokens = 0;
  double flops = 0;  // nominal, over both guidance halves (caching-policies.md, counting)
};

struct PlannedStep {
  int step = 0;         // index in sampling order, 0 = noisiest
  double timestep = 0;  // 0 .. 1000
  // An attempt may be cut before this step and resumed from it; of a dynamic policy, if its trunk
  // runs then.
  bool refresh_point = false;
  TrunkDecision trunk = TrunkDecision::kRun;
  // Share of renders whose trunk is run and computed at this step: 1 or 0 but for dynamic policies.
  double run_share = 1;
  double flops = 0;                    // of a dynamic policy the expected ones
  std::vector<PlannedModule> modules;  // in order of execution
};

struct Plan {
  std::string family;            // of the model: "stdit3", "pixart", "dit"
  std::string sampler;           // "rflow", "dpm-solver++", "ddim", "ddpm"
  PolicySpec policy;             // as asked for, but a preset is what it stands for
  int64_t tokens = 0;            // N per batch row
  int64_t tokens_per_frame = 0;  // S
  int64_t latent_frames = 0;     // T
  int64_t latent_height = 0, latent_width = 0;
  int64_t output_height = 0, output_width = 0;  // decoded pixels: 8 x latent
  double flops_none = 0;                        // the same request under policy none
  double flops = 0;
  uint64_t cache_bytes = 0;  // features, scores and counters that the policy keeps
  // Weights, cache and workspace of the largest stage: with the text encoder in memory, and where
  // the prompt was encoded before and is kept, so that it is not.
  uint64_t peak_bytes = 0;
  uint64_t peak_bytes_prompt_kept = 0;
  // With the text encoder, while the clip before, one like it, is being decoded. A device that has
  // less renders one clip after the other.
  uint64_t overlapped_peak_bytes = 0;
  uint64_t decode_bytes = 0;  // of them the workspace of decoding
  // The sampler needs more of the step before than the latent: checkpoints hold both.
  bool sampler_keeps_history = false;
  // The policy decides from what it measures: FLOPs are expected, not certain.
  bool dynamic = false;
  std::vector<PlannedStep> steps;
  std::vector<std::string> warnings;
  // SHA-256 of all that decides the bits (request without seed and prompt, config, decisions): a
  // checkpoint names it.
  std::string digest;
};

// Steps of the plan that a render can be resumed from, ascending; 0 is always one. The end of
// denoising, when only decoding remains, is one for every policy and not listed.
std::vector<int> refresh_points(const Plan& plan);

}  // namespace engine
