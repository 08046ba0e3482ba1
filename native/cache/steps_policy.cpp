// The baseline of every paper on caching: the same sampler with fewer steps.
#include <algorithm>
#include <cmath>

#include "cache/policies.h"

namespace engine {

namespace {

class StepsPolicy : public CachePolicy {
 public:
  StepsPolicy(int64_t tokens, double ratio) : tokens_(tokens), ratio_(ratio) {}

  ModuleDecision decide(const ModuleSite&) const override { return {Decision::kRefresh, tokens_}; }
  bool is_refresh_point(int) const override { return true; }
  CacheNeeds needs() const override { return {}; }
  int sampler_steps(int requested) const override {
    return std::max(1, static_cast<int>(std::lround(ratio_ * requested)));
  }

 private:
  int64_t tokens_;
  double ratio_;
};

// Fewer than one step in a thousand is no render.
constexpr double kMinRatio = 0.001;

}  // namespace

std::unique_ptr<CachePolicy> make_steps_policy(PolicyOptions& options,
                                               const PolicyContext& context) {
  const double ratio = options.number("ratio", 0.5, kMinRatio, 1.0);
  options.finish();
  return std::make_unique<StepsPolicy>(context.tokens, ratio);
}

}  // namespace engine
