// SpeCa (arXiv 2509.11628): between full steps every module is forecast as TaylorSeer does, and the
// last block is computed as well, from the input that the forecasts before it left. How far its
// forecast was off tells whether the next step is forecast too.
//
// What was computed goes on to the final layer, since it is at hand; the differences are those of
// full steps alone.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "backend/change.h"
#include "cache/policies.h"
#include "core/counted.h"

namespace engine {

namespace {

struct SpecaSettings {
  double tau = 0.1;     // error of a forecast that is borne at the first step
  double decay = 0.01;  // what is left of it at the end
  int min = 2;          // forecasts in a row from which on they are verified
  int max = 5;          // forecasts in a row
  int order = 1;
  int warm = 3;  // steps at the start that are always full
};

// No forecast is refused for less.
constexpr double kLeastTau = 0.01;
// Beyond this nothing is refused; it is a typing error.
constexpr double kMaxTau = 10.0;

bool is_last_block(const PolicyContext& context, const ModuleSite& site) {
  return site.layer == context.depth - 1 && site.block != BlockKind::kSpatial;
}

class SpecaRun : public PolicyRun {
 public:
  SpecaRun(const PolicyContext& context, const SpecaSettings& settings)
      : context_(context), settings_(settings) {}

  TrunkDecision decide_trunk(int step, const StepChanges&) override {
    const bool full = step < settings_.warm || refused_ || forecasts_ >= settings_.max;
    forecasts_ = full ? 0 : forecasts_ + 1;
    refused_ = false;
    return TrunkDecision::kRun;
  }
  ModuleDecision decide(const ModuleSite& site) const override {
    const bool computes = forecasts_ == 0 || (verifies() && is_last_block(context_, site));
    return computes ? ModuleDecision{Decision::kRefresh, context_.tokens}
                    : ModuleDecision{Decision::kForecast, 0};
  }
  bool verifies() const override { return forecasts_ >= settings_.min; }
  bool is_refresh_point(int step) const override { return step == 0; }

  void end_step(int step, const StepChanges& changes) override {
    if (!changes.verification) return;
    const double progress = static_cast<double>(step) / context_.steps;
    const double tau = std::max(kLeastTau, settings_.tau * std::pow(settings_.decay, progress));
    refused_ = !(changes.verification->relative() <= tau);  // no number is none to rely on
  }

 private:
  const PolicyContext& context_;
  const SpecaSettings& settings_;
  int forecasts_ = 0;  // in a row, this step's included; 0: it is full
  bool refused_ = false;
};

// Shares of renders in which a step is full, and in which it is forecast and verified. How many
// forecasts hold is not known before a render: half of those that are verified.
struct StepShares {
  double full = 1;
  double verified = 0;
};

std::vector<StepShares> expected_shares(int steps, const SpecaSettings& settings) {
  const auto max = static_cast<size_t>(settings.max);
  std::vector<StepShares> shares;
  std::vector<double> after(max + 1, 0);  // by forecasts in a row that the step before ended
  after[0] = 1;
  for (int step = 0; step < steps; ++step) {
    std::vector<double> now(max + 1, 0);
    for (size_t row = 0; row <= max; ++row) {
      const bool verified = static_cast<int>(row) >= settings.min;
      const bool must = step < settings.warm || row == max;
      const double full = must ? 1 : verified ? 0.5 : 0;
      now[0] += full * after[row];
      if (row < max) now[row + 1] = (1 - full) * after[row];
    }
    const double verified = std::accumulate(now.begin() + settings.min, now.end(), 0.0);
    shares.push_back({.full = now[0], .verified = verified});
    after = now;
  }
  return shares;
}

class SpecaPolicy : public CachePolicy {
 public:
  SpecaPolicy(const PolicyContext& context, const SpecaSettings& settings, std::string fingerprint)
      : context_(context),
        settings_(settings),
        fingerprint_(std::move(fingerprint)),
        shares_(expected_shares(context.steps, settings)) {}

  // Forecast is what no render can compute at that step.
  ModuleDecision decide(const ModuleSite& site) const override {
    if (expected_share(site) == 0) return {Decision::kForecast, 0};
    return {Decision::kRefresh, context_.tokens};
  }
  // Differences reach back over several full steps.
  bool is_refresh_point(int step) const override { return step == 0; }
  CacheNeeds needs() const override {
    return {.features = true, .orders = settings_.order, .changes = {.verification = true}};
  }
  bool is_dynamic() const override { return true; }
  double run_share(int step) const override {
    const double full = shares_at(step).full;
    return full == 0 ? 1 : full;  // where all renders forecast, the plan says so
  }
  double expected_share(const ModuleSite& site) const override {
    const StepShares& share = shares_at(site.step);
    return is_last_block(context_, site) ? share.full + share.verified : share.full;
  }
  std::string fingerprint() const override { return fingerprint_; }
  std::vector<std::string> warnings() const override {
    if (settings_.warm < context_.steps) return {};
    return {"policy speca: warm " + std::to_string(settings_.warm) + " leaves none of " +
            counted(context_.steps, "step") + " to forecast; lower warm"};
  }
  std::unique_ptr<PolicyRun> begin() const override {
    return std::make_unique<SpecaRun>(context_, settings_);
  }

 private:
  const StepShares& shares_at(int step) const {
    return shares_[std::min(static_cast<size_t>(step), shares_.size() - 1)];
  }

  PolicyContext context_;
  SpecaSettings settings_;
  std::string fingerprint_;
  std::vector<StepShares> shares_;
};

}  // namespace

std::unique_ptr<CachePolicy> make_speca_policy(PolicyOptions& options,
                                               const PolicyContext& context) {
  SpecaSettings settings;
  settings.tau = options.number("tau", settings.tau, 0, kMaxTau);
  settings.decay = options.number("decay", settings.decay, 0, 1);
  settings.min = options.integer("min", settings.min, 1, kMaxSteps);
  settings.max =
      options.integer("max", std::max(settings.max, settings.min), settings.min, kMaxSteps);
  settings.order =
      options.integer("order", published_taylor_order(context), 0, kMaxDifferenceOrders);
  settings.warm = options.integer("warm", settings.warm, 1, kMaxSteps);
  options.finish();
  return std::make_unique<SpecaPolicy>(context, settings, options.resolved());
}

}  // namespace engine
