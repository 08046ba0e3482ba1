// FasterCache (arXiv 2410.19355), its guidance part: what the model predicts without the prompt
// differs from what it predicts with it by much the same from step to step. From a step on both are
// computed at every so many steps alone; at the others the conditional half goes through the model,
// and the kept differences, low and high frequencies weighed apart, make the other of it.
#include <cmath>

#include "cache/policies.h"
#include "engine/error.h"

namespace engine {

namespace {

struct FasterCacheSettings {
  int from = 0;
  int interval = 1;
  double low_weight = 1, high_weight = 1;
  int low_until = 0, high_from = 0;
};

class FasterCachePolicy : public CachePolicy {
 public:
  FasterCachePolicy(const PolicyContext& context, const FasterCacheSettings& settings,
                    std::string fingerprint)
      : context_(context), settings_(settings), fingerprint_(std::move(fingerprint)) {}

  ModuleDecision decide(const ModuleSite&) const override {
    return {Decision::kRefresh, context_.tokens};
  }
  GuidanceDecision guidance(int step) const override {
    const bool both = step < settings_.from || step % settings_.interval == 0;
    if (both || step >= context_.steps) return {};
    return {.computed = false,
            .low_weight = step < settings_.low_until ? settings_.low_weight : 1,
            .high_weight = step >= settings_.high_from ? settings_.high_weight : 1};
  }
  // The differences are made anew there.
  bool is_refresh_point(int step) const override { return guidance(step).computed; }
  CacheNeeds needs() const override { return {.guidance = true}; }
  std::string fingerprint() const override { return fingerprint_; }

 private:
  PolicyContext context_;
  FasterCacheSettings settings_;
  std::string fingerprint_;
};

// A step of the published 30, in a render of this many.
int scaled(const PolicyContext& context, int published_step) {
  constexpr double kPublishedSteps = 30;
  return static_cast<int>(std::lround(published_step * context.steps / kPublishedSteps));
}

// More than twice the difference is no correction any more.
constexpr double kMaxWeight = 2;

}  // namespace

std::unique_ptr<CachePolicy> make_fastercache_policy(PolicyOptions& options,
                                                     const PolicyContext& context) {
  FasterCacheSettings settings;
  settings.from = options.integer("from", std::max(1, scaled(context, 12)), 1, kMaxSteps);
  settings.interval = options.integer("interval", 5, 1, kMaxSteps);
  settings.low_weight = options.number("low_weight", 1.15, 0, kMaxWeight);
  settings.high_weight = options.number("high_weight", 1.15, 0, kMaxWeight);
  settings.low_until = options.integer("low_until", scaled(context, 25), 0, kMaxSteps);
  settings.high_from = options.integer("high_from", scaled(context, 20), 0, kMaxSteps);
  options.finish();
  return std::make_unique<FasterCachePolicy>(context, settings, options.resolved());
}

}  // namespace engine
