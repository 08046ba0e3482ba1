// TaylorSeer (arXiv 2503.06923): between full steps every module's output is forecast from its
// finite differences. The lite form forecasts what the whole trunk adds, and keeps nothing else.
#include "backend/change.h"
#include "cache/policies.h"

namespace engine {

namespace {

struct TaylorseerSettings {
  int interval = 0;
  int order = 0;
  int warm = 0;
};

// Published for DiT alone.
TaylorseerSettings published_settings(const PolicyContext& context) {
  const int order = published_taylor_order(context);
  if (counts_down(context)) return {.interval = 4, .order = order, .warm = 2};
  return {.interval = 3, .order = order, .warm = 3};
}

bool is_full(const TaylorseerSettings& settings, int step) {
  const int last_warm = settings.warm - 1;
  return step <= last_warm || (step - last_warm) % settings.interval == 0;
}

class TaylorseerPolicy : public CachePolicy {
 public:
  TaylorseerPolicy(const PolicyContext& context, const TaylorseerSettings& settings, bool lite)
      : context_(context), settings_(settings), lite_(lite) {}

  ModuleDecision decide(const ModuleSite& site) const override {
    if (lite_ || is_full(settings_, site.step)) return {Decision::kRefresh, context_.tokens};
    return {Decision::kForecast, 0};
  }
  TrunkDecision trunk(int step) const override {
    return lite_ && !is_full(settings_, step) ? TrunkDecision::kForecast : TrunkDecision::kRun;
  }
  // Differences reach back over several full steps, but for those of order 0.
  bool is_refresh_point(int step) const override {
    return step == 0 || (settings_.order == 0 && is_full(settings_, step));
  }
  CacheNeeds needs() const override {
    if (lite_) return {.trunk = TrunkKept::kResidual, .trunk_orders = settings_.order};
    return {.features = true, .orders = settings_.order};
  }

 private:
  PolicyContext context_;
  TaylorseerSettings settings_;
  bool lite_;
};

std::unique_ptr<CachePolicy> make(PolicyOptions& options, const PolicyContext& context, bool lite) {
  TaylorseerSettings settings = published_settings(context);
  settings.interval = options.integer("interval", settings.interval, 1, kMaxSteps);
  settings.order = options.integer("order", settings.order, 0, kMaxDifferenceOrders);
  settings.warm = options.integer("warm", settings.warm, 1, kMaxSteps);
  options.finish();
  return std::make_unique<TaylorseerPolicy>(context, settings, lite);
}

}  // namespace

std::unique_ptr<CachePolicy> make_taylorseer_policy(PolicyOptions& options,
                                                    const PolicyContext& context) {
  return make(options, context, /*lite=*/false);
}

std::unique_ptr<CachePolicy> make_taylorseer_lite_policy(PolicyOptions& options,
                                                         const PolicyContext& context) {
  return make(options, context, /*lite=*/true);
}

}  // namespace engine
