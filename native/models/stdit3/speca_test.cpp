// What speca asks of a model, to the bit, on the tiny golden model: that the last block is computed
// from the forecast input, compared with its forecast, and leaves nothing in the cache.
#include <cmath>
#include <map>
#include <set>

#include "models/stdit3/model_test_support.h"

namespace engine {
namespace {

// Two full steps, then forecasts; the last block is verified at some of those, or just computed.
class DraftPolicy : public CachePolicy {
 public:
  std::set<int> verified;
  bool computes_last_block = false;
  int order = 1;
  mutable std::map<int, Change> told;

  ModuleDecision decide(const ModuleSite& site) const override {
    const bool last = site.layer == 1 && site.block == BlockKind::kTemporal;
    const bool computes =
        site.step < 2 || (last && (computes_last_block || verified.contains(site.step)));
    return computes ? ModuleDecision{Decision::kRefresh, 12}
                    : ModuleDecision{Decision::kForecast, 0};
  }
  bool is_refresh_point(int step) const override { return step == 0; }
  CacheNeeds needs() const override {
    return {.features = true, .orders = order, .changes = {.verification = !verified.empty()}};
  }
  bool is_dynamic() const override { return true; }
  std::unique_ptr<PolicyRun> begin() const override { return std::make_unique<Run>(*this); }

 private:
  class Run : public PolicyRun {
   public:
    explicit Run(const DraftPolicy& policy) : policy_(policy) {}
    TrunkDecision decide_trunk(int step, const StepChanges&) override {
      step_ = step;
      return TrunkDecision::kRun;
    }
    ModuleDecision decide(const ModuleSite& site) const override { return policy_.decide(site); }
    bool verifies() const override { return policy_.verified.contains(step_); }
    bool is_refresh_point(int step) const override { return step == 0; }
    void end_step(int step, const StepChanges& changes) override {
      if (changes.verification) policy_.told.emplace(step, *changes.verification);
    }

   private:
    const DraftPolicy& policy_;
    int step_ = 0;
  };
};

class SpecaTest : public STDiT3Test {
 protected:
  // What is tapped under `name`, by step.
  std::map<int, Tensor> tapped(const CachePolicy& policy, const std::string& name, int last) {
    std::map<int, Tensor> seen;
    int step = 0;
    StepHooks hooks;
    hooks.on_trunk = [&](int now, TrunkDecision, bool) { step = now; };
    hooks.tap = [&](const std::string& tap, ConstTensorView tensor) {
      if (tap != name) return;
      seen[step] = Tensor(tensor.shape(), DType::kF32);
      backend_->download(tensor, seen[step]);
    };
    run_policy({{1, 3}}, policy, 0, last, nullptr, hooks);
    return seen;
  }
};

TEST_F(SpecaTest, TheErrorIsThatOfTheForecastAgainstWhatIsComputedFromTheSameInput) {
  DraftPolicy verifies, forecasts, computes;
  verifies.verified = {2};
  computes.computes_last_block = true;
  const std::string stream = "block.1.temporal";
  const Tensor went_on = std::move(tapped(verifies, stream, 3).at(2));
  const Tensor draft = std::move(tapped(forecasts, stream, 3).at(2));
  const Tensor exact = std::move(tapped(computes, stream, 3).at(2));
  EXPECT_TRUE(same_bits(went_on, exact));
  EXPECT_FALSE(same_bits(draft, exact));
  double difference = 0, reference = 0;
  for (int64_t i = 0; i < exact.elements(); ++i) {
    difference += std::abs(static_cast<double>(draft.f32()[i]) - exact.f32()[i]);
    reference += std::abs(static_cast<double>(exact.f32()[i]));
  }
  ASSERT_EQ(verifies.told.size(), 1u);
  EXPECT_NEAR(verifies.told.at(2).difference, difference, 1e-9 * difference);
  EXPECT_NEAR(verifies.told.at(2).reference, reference, 1e-9 * reference);
}

TEST_F(SpecaTest, WhatIsComputedToVerifyIsNotKept) {
  for (const int order : {0, 1}) {
    DraftPolicy policy;
    policy.verified = {2};
    policy.order = order;
    for (const char* const module : {"attn", "cross-attn", "mlp"}) {
      const auto seen = tapped(policy, std::string("module.1.temporal.") + module, 4);
      EXPECT_FALSE(same_bits(seen.at(1), seen.at(2)));  // computed
      EXPECT_TRUE(same_bits(seen.at(1), seen.at(3)));   // what the cache holds of the last full one
    }
  }
}

TEST_F(SpecaTest, ForecastsUntilItIsTooFarOff) {
  const std::map<std::string, std::string> lax{{"tau", "10"}, {"decay", "1"}, {"min", "1"}};
  std::map<int, int64_t> computed;  // tokens, by step
  StepHooks hooks;
  hooks.on_module = [&](const ModuleReport& report) {
    EXPECT_EQ(report.tokens_computed + report.tokens_reused, 2 * 12);
    EXPECT_EQ(report.flops > 0, report.tokens_computed > 0);
    EXPECT_EQ(report.decision == Decision::kForecast, report.tokens_computed == 0);
    computed[report.step] += report.tokens_computed;
  };
  const Tensor forecast = run({{1, 3}}, {"speca", lax}, 0, kSteps, nullptr, hooks);
  const int64_t full = 4 * 3 * 24, verified = 3 * 24;
  EXPECT_EQ(computed, (std::map<int, int64_t>{{0, full},
                                              {1, full},
                                              {2, full},
                                              {3, verified},
                                              {4, verified},
                                              {5, verified},
                                              {6, verified},
                                              {7, verified}}));
  // Where nothing is borne every second step is full.
  computed.clear();
  run({{1, 3}}, {"speca", {{"tau", "0"}, {"min", "1"}, {"order", "0"}}}, 0, kSteps, nullptr, hooks);
  for (int step = 3; step < kSteps; ++step) {
    EXPECT_EQ(computed.at(step), step % 2 == 0 ? full : verified) << step;
  }
  const Tensor none = run({{1, 3}}, {});
  EXPECT_FALSE(same_bits(none, forecast));
  EXPECT_TRUE(same_bits(none, run({{1, 3}}, {"speca", {{"warm", "8"}}})));
}

TEST_F(SpecaTest, DecidesTheSameOnAnyNumberOfThreads) {
  const PolicySpec speca{"speca", {{"min", "1"}}};
  DraftPolicy one, three;
  one.verified = three.verified = {2, 3, 5};
  const Tensor first = run({{1, 3}}, speca);
  run_policy({{1, 3}}, one);
  backend_ = make_backend(3);
  weights_ = load_tiny();
  EXPECT_TRUE(same_bits(first, run({{1, 3}}, speca)));
  run_policy({{1, 3}}, three);
  ASSERT_EQ(one.told.size(), 3u);
  for (const auto& [step, change] : one.told) {
    EXPECT_EQ(change.difference, three.told.at(step).difference);
    EXPECT_EQ(change.reference, three.told.at(step).reference);
  }
}

}  // namespace
}  // namespace engine
