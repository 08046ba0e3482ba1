// T-GATE (arXiv 2404.02747): what a picture takes from its text is settled early. From a gate on
// every cross-attention is replaced by the mean of its conditional and its unconditional output of
// the last step before; until then self-attention may be computed at every so many steps alone.
#include <algorithm>

#include "cache/policies.h"
#include "core/counted.h"
#include "engine/error.h"

namespace engine {

namespace {

class TGatePolicy : public CachePolicy {
 public:
  TGatePolicy(const PolicyContext& context, int gate, int self_interval)
      : context_(context), gate_(gate), self_interval_(self_interval) {}

  ModuleDecision decide(const ModuleSite& site) const override {
    if (reuses(site)) return {Decision::kReuse, 0};
    return {Decision::kRefresh, context_.tokens};
  }
  // What was taken from the text before the gate is needed to the end.
  bool is_refresh_point(int step) const override {
    return step < gate_ && step % self_interval_ == 0;
  }
  CacheNeeds needs() const override { return {.features = true, .merges_guidance = true}; }
  bool merges_guidance(const ModuleSite& site) const override {
    return site.module == Module::kCrossAttention && site.step == gate_;
  }
  std::string fingerprint() const override { return "tgate"; }
  std::vector<std::string> warnings() const override {
    if (gate_ < context_.steps || self_interval_ > 1) return {};
    return {"policy tgate: gate " + std::to_string(gate_) + " comes after the last of " +
            counted(context_.steps, "step") + ": nothing is reused"};
  }

 private:
  bool reuses(const ModuleSite& site) const {
    if (site.module == Module::kCrossAttention) return site.step >= gate_;
    const bool early = site.module == Module::kSelfAttention && site.step < gate_;
    return early && site.step % self_interval_ != 0;
  }

  PolicyContext context_;
  int gate_;  // the first step without cross-attention
  int self_interval_;
};

}  // namespace

// No gate was published for these models: two fifths of the steps.
std::unique_ptr<CachePolicy> make_tgate_policy(PolicyOptions& options,
                                               const PolicyContext& context) {
  if (counts_down(context)) {
    throw Error(ErrorCode::kInvalidArgument,
                "policy tgate reuses cross-attention, which DiT has not; use fora or toca");
  }
  const int gate = options.integer("gate", std::max(1, 2 * context.steps / 5), 1, kMaxSteps);
  const int self_interval = options.integer("self_interval", 1, 1, kMaxSteps);
  options.finish();
  return std::make_unique<TGatePolicy>(context, gate, self_interval);
}

}  // namespace engine
