// The interface of every caching policy: which modules are computed for which tokens at which step.
// A policy is pure: it knows tokens and modules, no model, no clock, no device. A new policy is one
// new file and one line in make_policy().
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "backend/select.h"
#include "engine/plan.h"
#include "engine/request.h"

namespace engine {

// Whose published settings a policy's options fall back to, and which timetable it keeps: papers
// and their code differ from model to model (caching-policies.md, B).
enum class PublishedSettings { kOpenSora, kPixartAlpha, kDitDdim, kDitDdpm };

// What a policy must know of the model and the request.
struct PolicyContext {
  int steps = 0;
  int depth = 0;       // layers; STDiT3: one spatial and one temporal block each
  int64_t tokens = 0;  // N per batch row
  bool temporal_blocks = true;
  PublishedSettings published = PublishedSettings::kOpenSora;
  // r of the sampler's time transform, t = 1000 r u / (1 + (r - 1) u), u = 1 - step / steps; 1:
  // times fall evenly.
  double time_shift = 1.0;
};

struct ModuleSite {
  int step = 0;
  int layer = 0;
  BlockKind block = BlockKind::kSpatial;
  Module module = Module::kSelfAttention;
};

struct ModuleDecision {
  Decision decision = Decision::kRefresh;
  int64_t tokens =
      0;  // computed per batch row: N for refresh, K for partial (may be 0), 0 for reuse
};

// How tokens are ranked where a decision is partial.
struct ScoreSettings {
  TokenScore score = TokenScore::kEntropy;
  float staleness_weight = 0.0f;  // soft_fresh_weight / fresh_threshold
  // In every block of so many tokens a side the highest score is multiplied by the factor; 0: in
  // none.
  int spread_cell = 0;
  float spread_factor = 1.0f;
};

// What the policies keep of a module between steps.
struct CacheNeeds {
  bool features = false;  // module outputs [2n, N, C] of every block and module
  bool scores = false;    // counters and, for scores that are stored, a float per token and block
};

class CachePolicy {
 public:
  virtual ~CachePolicy() = default;
  // Also asked about the step after the last.
  virtual ModuleDecision decide(const ModuleSite& site) const = 0;
  // Nothing cached before this step is needed at it or after it.
  virtual bool is_refresh_point(int step) const = 0;
  virtual CacheNeeds needs() const = 0;
  virtual ScoreSettings score_settings() const { return {}; }
  // The sampler's number of steps: `steps(ratio)` runs fewer than asked for.
  virtual int sampler_steps(int requested) const { return requested; }
  // fidelity=upstream: reproduce the published code's defects (conditioned frames, see
  // caching-policies.md).
  virtual bool upstream_fidelity() const { return false; }
  // What a user should know before the render: an option that applies at no step of it, and the
  // like. Whole sentences that name the policy.
  virtual std::vector<std::string> warnings() const { return {}; }
};

// A preset is made as what it stands for (cache/presets.h).
// Throws Error(kInvalidArgument) for an unknown policy (naming the known ones) or option (naming
// the known ones and ranges).
std::unique_ptr<CachePolicy> make_policy(const PolicySpec& spec, const PolicyContext& context);

// Names that make_policy knows, in the order of documentation.
const std::vector<std::string>& policy_names();

}  // namespace engine
