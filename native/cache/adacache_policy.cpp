// AdaCache (arXiv 2411.02397): after each step that runs, the change of one self-attention in the
// middle of the trunk, for each step since it was computed before, says by a codebook how many
// steps the residuals of all blocks may be reused. Every block adds to the residual stream what it
// added then, gates and all, so that the residual of the whole trunk is all that need be kept.
//
// The published weighing by motion (MoReg) is left out: its formula is not known well enough.
#include <span>

#include "cache/policies.h"

namespace engine {

namespace {

// Changes below `change` wait `rate` steps for the next one that runs.
struct CodebookEntry {
  double change;
  int rate;
};

struct Codebook {
  int steps;  // of the renders that it was published for
  std::span<const CodebookEntry> entries;
  int rest;         // rate of all greater changes
  double speed_up;  // as published: what a plan expects
};

// caching-policies.md, C.
constexpr CodebookEntry kFast[] = {{0.08, 6}, {0.16, 5}, {0.24, 4}, {0.32, 3}, {0.40, 2}};
constexpr CodebookEntry kSlow[] = {{0.08, 3}, {0.16, 2}};
constexpr CodebookEntry kLong[] = {{0.03, 12}, {0.05, 10}, {0.07, 8}, {0.09, 6}, {0.11, 4}};
constexpr Codebook kCodebooks[] = {
    {.steps = 30, .entries = kFast, .rest = 1, .speed_up = 2.24},
    {.steps = 30, .entries = kSlow, .rest = 1, .speed_up = 1.46},
    // No figure was published with it: between the least and the greatest rate of a run.
    {.steps = 100, .entries = kLong, .rest = 3, .speed_up = 6},
};

constexpr int kLastSteps = 2;  // always run

class AdaCacheRun : public PolicyRun {
 public:
  AdaCacheRun(const PolicyContext& context, const Codebook& codebook)
      : context_(context), codebook_(codebook) {}

  TrunkDecision decide_trunk(int step, const StepChanges&) override {
    runs_ = step >= next_ || step >= context_.steps - kLastSteps;
    return runs_ ? TrunkDecision::kRun : TrunkDecision::kReuse;
  }
  ModuleDecision decide(const ModuleSite&) const override {
    return {Decision::kRefresh, context_.tokens};
  }
  bool is_refresh_point(int step) const override { return step == 0; }

  void end_step(int step, const StepChanges& changes) override {
    if (!runs_) return;
    if (changes.module) rate_ = rate_of(changes.module->relative() / rate_);
    next_ = step + rate_;
  }

 private:
  int rate_of(double change) const {
    for (const CodebookEntry& entry : codebook_.entries) {
      if (change < entry.change) return entry.rate;
    }
    return codebook_.rest;
  }

  const PolicyContext& context_;
  const Codebook& codebook_;
  int rate_ = 1;  // steps from the last one that ran to the next
  int next_ = 0;
  bool runs_ = true;
};

class AdaCachePolicy : public CachePolicy {
 public:
  AdaCachePolicy(const PolicyContext& context, const Codebook& codebook, int layer,
                 std::string fingerprint)
      : context_(context),
        codebook_(codebook),
        layer_(layer),
        fingerprint_(std::move(fingerprint)) {}

  ModuleDecision decide(const ModuleSite&) const override {
    return {Decision::kRefresh, context_.tokens};
  }
  // The rate of the next wait follows from the one before.
  bool is_refresh_point(int step) const override { return step == 0; }
  CacheNeeds needs() const override {
    return {
        .trunk = TrunkKept::kResidual,
        .changes = {.module = ModulePlace{.layer = layer_,
                                          .block = context_.temporal_blocks ? BlockKind::kTemporal
                                                                            : BlockKind::kJoint,
                                          .module = Module::kSelfAttention}}};
  }
  bool is_dynamic() const override { return true; }
  double run_share(int step) const override {
    const bool always = step <= 1 || step >= context_.steps - kLastSteps;
    return always ? 1 : 1 / codebook_.speed_up;
  }
  std::string fingerprint() const override { return fingerprint_; }
  std::vector<std::string> warnings() const override {
    std::vector<std::string> warnings;
    if (context_.published != PublishedSettings::kOpenSora) {
      warnings.push_back("policy adacache: its codebooks were published for Open-Sora");
    } else if (context_.steps != codebook_.steps) {
      warnings.push_back("policy adacache: this codebook was published for " +
                         std::to_string(codebook_.steps) + " steps, not " +
                         std::to_string(context_.steps));
    }
    return warnings;
  }
  std::unique_ptr<PolicyRun> begin() const override {
    return std::make_unique<AdaCacheRun>(context_, codebook_);
  }

 private:
  PolicyContext context_;
  const Codebook& codebook_;
  int layer_;
  std::string fingerprint_;
};

}  // namespace

std::unique_ptr<CachePolicy> make_adacache_policy(PolicyOptions& options,
                                                  const PolicyContext& context) {
  const Codebook& codebook = kCodebooks[options.choice("codebook", 0, {"fast", "slow", "long"})];
  // The 14th of 28 layers, as published.
  const int layer = options.integer("layer", (context.depth - 1) / 2, 0, context.depth - 1);
  options.finish();
  return std::make_unique<AdaCachePolicy>(context, codebook, layer, options.resolved());
}

}  // namespace engine
