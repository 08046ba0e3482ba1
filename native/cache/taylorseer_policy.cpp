// TaylorSeer (arXiv 2503.06923): between full steps every module's output is forecast from its
// finite differences. The lite form forecasts what the whole trunk adds, and keeps nothing else.
#include "cache/taylor_timetable.h"

namespace engine {

namespace {

// Published for DiT alone.
TaylorTimetable published_timetable(const PolicyContext& context) {
  const int order = published_taylor_order(context);
  if (counts_down(context)) return {.interval = 4, .order = order, .warm = 2};
  return {.interval = 3, .order = order, .warm = 3};
}

class TaylorseerPolicy : public CachePolicy {
 public:
  TaylorseerPolicy(const PolicyContext& context, const TaylorTimetable& timetable, bool lite)
      : context_(context), timetable_(timetable), lite_(lite) {}

  ModuleDecision decide(const ModuleSite& site) const override {
    if (lite_ || timetable_.is_full(site.step)) return {Decision::kRefresh, context_.tokens};
    return {forecasts() ? Decision::kForecast : Decision::kReuse, 0};
  }
  TrunkDecision trunk(int step) const override {
    if (!lite_ || timetable_.is_full(step)) return TrunkDecision::kRun;
    return forecasts() ? TrunkDecision::kForecast : TrunkDecision::kReuse;
  }
  // Differences reach back over several full steps, but for those of order 0.
  bool is_refresh_point(int step) const override {
    return step == 0 || (!forecasts() && timetable_.is_full(step));
  }
  CacheNeeds needs() const override {
    if (lite_) return {.trunk = TrunkKept::kResidual, .trunk_orders = timetable_.order};
    return {.features = true, .orders = timetable_.order};
  }

 private:
  // Of order 0 a forecast is what was kept.
  bool forecasts() const { return timetable_.order > 0; }

  PolicyContext context_;
  TaylorTimetable timetable_;
  bool lite_;
};

std::unique_ptr<CachePolicy> make(PolicyOptions& options, const PolicyContext& context, bool lite) {
  const TaylorTimetable timetable = read_taylor_timetable(options, published_timetable(context));
  options.finish();
  return std::make_unique<TaylorseerPolicy>(context, timetable, lite);
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
