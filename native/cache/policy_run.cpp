#include "cache/policy_run.h"

#include "cache/cache_policy.h"

namespace engine {

namespace {

class StaticRun : public PolicyRun {
 public:
  explicit StaticRun(const CachePolicy& policy) : policy_(policy) {}

  TrunkDecision decide_trunk(int step, const StepChanges&) override { return policy_.trunk(step); }
  ModuleDecision decide(const ModuleSite& site) const override { return policy_.decide(site); }
  bool is_refresh_point(int step) const override { return policy_.is_refresh_point(step); }

 private:
  const CachePolicy& policy_;
};

}  // namespace

std::unique_ptr<PolicyRun> CachePolicy::begin() const {
  return std::make_unique<StaticRun>(*this);
}

double CachePolicy::expected_share(const ModuleSite& site) const {
  const LayerSpan where = span(site.step);
  return site.layer >= where.first && site.layer < where.last ? run_share(site.step) : 1;
}

ModuleDecision planned_decision(const CachePolicy& policy, const ModuleSite& site) {
  const TrunkDecision trunk = policy.trunk(site.step);
  const LayerSpan span = policy.span(site.step);
  const bool runs =
      trunk == TrunkDecision::kRun || site.layer < span.first || site.layer >= span.last;
  if (runs && !policy.guidance(site.step).computed) {
    return {Decision::kConditional, policy.decide(site).tokens};
  }
  if (runs) return policy.decide(site);
  return {trunk == TrunkDecision::kReuse ? Decision::kReuse : Decision::kForecast, 0};
}

}  // namespace engine
