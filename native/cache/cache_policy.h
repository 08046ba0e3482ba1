// The interface of every caching policy: which modules are computed for which tokens at which step,
// and whether the trunk is run at all. A policy is pure: it knows tokens and modules, no model, no
// clock, no device; what a dynamic one remembers of an attempt is in the run that it begins. A new
// policy is one new file and one line in make_policy().
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/select.h"
#include "cache/policy_run.h"
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
  bool cross_attention = true;  // whether blocks have one: DiT's have not
  PublishedSettings published = PublishedSettings::kOpenSora;
  // r of the sampler's time transform, t = 1000 r u / (1 + (r - 1) u), u = 1 - step / steps; 1:
  // times fall evenly.
  double time_shift = 1.0;
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

class CachePolicy {
 public:
  virtual ~CachePolicy() = default;
  // Of a module whose layer runs. Also asked about the step after the last.
  virtual ModuleDecision decide(const ModuleSite& site) const = 0;
  // Nothing cached before this step is needed at it or after it; of a dynamic policy, if its trunk
  // runs then.
  virtual bool is_refresh_point(int step) const = 0;
  // In fp32, whatever is asked for.
  virtual CacheNeeds needs() const = 0;
  // The same in the dtype that the user asked for, where anything is kept in it.
  CacheNeeds kept_needs() const;
  void keep_as(DType dtype) { kept_dtype_ = dtype; }
  DType kept_dtype() const { return kept_dtype_; }
  virtual ScoreSettings score_settings() const { return {}; }
  // The sampler's number of steps: `steps(ratio)` runs fewer than asked for.
  virtual int sampler_steps(int requested) const { return requested; }
  // fidelity=upstream: reproduce the published code's defects (conditioned frames, see
  // caching-policies.md).
  virtual bool upstream_fidelity() const { return false; }

  // What becomes of the layers of span(step); of a dynamic policy kRun wherever that is possible.
  // What stands in for them was kept by a step with the same span.
  virtual TrunkDecision trunk(int /*step*/) const { return TrunkDecision::kRun; }
  virtual LayerSpan span(int /*step*/) const { return {}; }
  // Tokens of the one choice that the MLPs of all blocks compute at this step, while all other
  // modules reuse what they kept; empty where each decides for itself.
  virtual std::optional<int64_t> shared_tokens(int /*step*/) const { return std::nullopt; }
  // At this site, which reuses what was kept, the mean of its guidance halves takes the place of
  // both.
  virtual bool merges_guidance(const ModuleSite& /*site*/) const { return false; }
  // What becomes of the unconditional half at this step, of which no module keeps anything then.
  // Also asked about the step after the last. The first step that runs computes it.
  virtual GuidanceDecision guidance(int /*step*/) const { return {}; }
  // Decisions follow from what the engine measures: a run is more than this table.
  virtual bool is_dynamic() const { return false; }
  // Expected share of renders in which the span runs at this step, and is computed.
  virtual double run_share(int step) const { return trunk(step) == TrunkDecision::kRun ? 1 : 0; }
  // Of a dynamic policy: expected share of renders that compute the module as decide() says.
  virtual double expected_share(const ModuleSite& site) const;
  // Everything that decides the bits and is not in the table of decisions, as text.
  virtual std::string fingerprint() const { return {}; }
  // What a user should know before the render: an option that applies at no step of it, and the
  // like. Whole sentences that name the policy.
  virtual std::vector<std::string> warnings() const { return {}; }
  // For one attempt; the policy must outlive it. A static policy's run is its table.
  virtual std::unique_ptr<PolicyRun> begin() const;

 private:
  DType kept_dtype_ = DType::kF32;
};

// What a policy's table says of a module, whether its layer runs or not.
ModuleDecision planned_decision(const CachePolicy& policy, const ModuleSite& site);

// A preset is made as what it stands for (cache/presets.h). Beside its own options every policy
// takes cache_dtype: fp32, bf16 or fp8.
// Throws Error(kInvalidArgument) for an unknown policy (naming the known ones) or option (naming
// the known ones and ranges), and for one that cannot run on such a model or sampler. "A+B" is
// policy A for the trunk over policy B for the modules (composed_policy.cpp).
std::unique_ptr<CachePolicy> make_policy(const PolicySpec& spec, const PolicyContext& context);

// Names that make_policy knows, in the order of documentation.
const std::vector<std::string>& policy_names();

}  // namespace engine
