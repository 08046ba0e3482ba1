// What every caching policy promises, to the bit, on the tiny golden model: that the choice of
// tokens, the trunk's stand-ins and what is measured depend on the clip alone.
#include <algorithm>
#include <map>

#include "engine/error.h"
#include "models/stdit3/model_test_support.h"

namespace engine {
namespace {

PolicySpec ranked_by(const char* score) {
  return {"toca", {{"fresh_ratio", "0.3"}, {"score", score}}};
}

TEST_F(STDiT3Test, EveryScoreRanksTheTokensOfAClipAsItDoesAlone) {
  std::vector<Tensor> results;
  for (const char* const score :
       {"entropy", "norm", "similarity", "attention", "value_norm", "random"}) {
    const Tensor batch = run({{1, 3}, {2, 6}}, ranked_by(score));
    results.push_back(run({{2, 6}}, ranked_by(score)));
    EXPECT_TRUE(same_bits(batch.view().rows(1, 1), results.back())) << score;
    for (size_t i = 0; i + 1 < results.size(); ++i) {
      EXPECT_FALSE(same_bits(results[i], results.back())) << score;
    }
  }
}

TEST_F(STDiT3Test, TheNumberOfThreadsChangesNoBit) {
  std::vector<PolicySpec> specs{
      {"pab", {}}, {"toca-shared", {{"fold", "trunk"}}}, {"fastercache", {}}};
  for (const char* const score : {"entropy", "attention", "value_norm", "random"}) {
    specs.push_back(ranked_by(score));
  }
  std::vector<Tensor> one;
  for (const PolicySpec& spec : specs) one.push_back(run({{1, 3}, {2, 6}}, spec));
  backend_ = make_backend(3);
  weights_ = load_tiny();
  for (size_t i = 0; i < specs.size(); ++i) {
    EXPECT_TRUE(same_bits(one[i], run({{1, 3}, {2, 6}}, specs[i]))) << i;
  }
}

// Remembers the choice of every step; as an observer it forces it upon another policy.
class SameChoice : public SelectionObserver {
 public:
  void remember(const ModuleReport& report) {
    if (report.indices.empty()) return;
    EXPECT_EQ(report.module, Module::kMlp);
    const int32_t* const chosen = report.indices.i32();
    std::vector<int32_t> now(chosen, chosen + report.indices.elements());
    const auto [place, first] = choices_.try_emplace(report.step, now);
    EXPECT_TRUE(first || place->second == now) << "one choice for all blocks";
  }
  void on_selection(const SelectionCall& call, TensorView indices) override {
    if (indices.empty()) return;
    const std::vector<int32_t>& chosen = choices_.at(call.site.step);
    ASSERT_EQ(static_cast<int64_t>(chosen.size()), indices.elements());
    std::copy(chosen.begin(), chosen.end(), indices.i32());
  }
  size_t steps() const { return choices_.size(); }

 private:
  std::map<int, std::vector<int32_t>> choices_;
};

TEST_F(STDiT3Test, OneChoiceForAllBlocksGivesTheBitsOfThatChoiceBlockByBlock) {
  SameChoice choice;
  StepHooks remembers;
  remembers.want_indices = true;
  remembers.on_module = [&](const ModuleReport& report) { choice.remember(report); };
  const PolicySpec shared{"toca-shared", {{"fresh_ratio", "0.4485"}}};
  StepHooks forces;
  forces.selection = &choice;
  Tensor mask({1, 2}, DType::kF32);
  mask.f32()[0] = 0.0f;
  mask.f32()[1] = 1.0f;
  for (const ConstTensorView& frames : {ConstTensorView(), ConstTensorView(mask)}) {
    choice = {};
    const Tensor once = run({{1, 3}}, shared, 0, kSteps, nullptr, remembers, frames);
    EXPECT_EQ(choice.steps(), 3u);  // 4, 5 and 7
    const PolicySpec toca{"toca", {{"fresh_ratio", "0.3"}}};
    EXPECT_TRUE(same_bits(once, run({{1, 3}}, toca, 0, kSteps, nullptr, forces, frames)));
    EXPECT_FALSE(same_bits(once, run({{1, 3}}, toca, 0, kSteps, nullptr, {}, frames)));
  }
}

TEST_F(STDiT3Test, TokensThatAreNotChosenPassByOneOfTwoFolds) {
  const auto shared = [](const char* fold, const char* ratio) {
    return PolicySpec{"toca-shared", {{"fold", fold}, {"fresh_ratio", ratio}}};
  };
  EXPECT_FALSE(
      same_bits(run({{1, 3}}, shared("exact", "0.3")), run({{1, 3}}, shared("trunk", "0.3"))));
  // Where all tokens are chosen, or none, there is nothing to fold, or nothing else.
  EXPECT_TRUE(same_bits(run({{1, 3}}, shared("exact", "1")), run({{1, 3}}, shared("trunk", "1"))));
  const PolicySpec fora{"fora", {{"interval", "3"}}};
  const PolicySpec none{"toca-shared",
                        {{"fold", "exact"}, {"fresh_ratio", "0"}, {"cross_interval", "3"}}};
  EXPECT_TRUE(same_bits(run({{1, 3}}, none), run({{1, 3}}, fora)));
}

TEST_F(STDiT3Test, PoliciesForTheTrunkSkipItOrGiveTheBitsOfNone) {
  const Tensor none = run({{1, 3}}, {});
  struct Pair {
    PolicySpec skips, never;
  };
  for (const Pair& pair : std::vector<Pair>{
           {{"fbcache", {{"threshold", "10"}}}, {"fbcache", {{"threshold", "0"}}}},
           {{"dbcache", {{"threshold", "10"}, {"warm", "2"}}}, {"dbcache", {{"warm", "100"}}}},
           {{"easycache", {{"threshold", "10"}, {"warm", "2"}}}, {"easycache", {{"warm", "7"}}}},
           {{"adacache", {}}, {}},
           {{"delta_dit", {}}, {"delta_dit", {{"interval", "1"}}}}}) {
    int64_t reused = 0;
    StepHooks hooks;
    hooks.on_module = [&](const ModuleReport& report) {
      EXPECT_EQ(report.tokens_computed + report.tokens_reused, 2 * 12);
      reused += report.tokens_reused;
    };
    const Tensor skipped = run({{1, 3}}, pair.skips, 0, kSteps, nullptr, hooks);
    EXPECT_GT(reused, 0) << pair.skips.name;
    EXPECT_FALSE(same_bits(none, skipped)) << pair.skips.name;
    // adacache has no option that keeps it from skipping.
    EXPECT_TRUE(same_bits(none, run({{1, 3}}, pair.never))) << pair.skips.name;
  }
}

TEST_F(STDiT3Test, FromTheGateOnBothHalvesTakeTheirMeanFromTheText) {
  std::map<int, Tensor> cross;  // of one block, by step
  int step = 0;
  StepHooks hooks;
  hooks.on_trunk = [&](int now, TrunkDecision, bool) { step = now; };
  hooks.tap = [&](const std::string& name, ConstTensorView tensor) {
    if (name != "module.1.temporal.cross-attn") return;
    cross[step] = Tensor(tensor.shape(), DType::kF32);
    backend_->download(tensor, cross[step]);
  };
  run({{1, 3}}, {"tgate", {{"gate", "3"}}}, 0, kSteps, nullptr, hooks);
  const int64_t half = cross.at(2).elements() / 2;
  for (int64_t i = 0; i < half; ++i) {
    const float mean = 0.5f * cross.at(2).f32()[i] + 0.5f * cross.at(2).f32()[half + i];
    ASSERT_EQ(cross.at(3).f32()[i], mean);
    ASSERT_EQ(cross.at(3).f32()[half + i], mean);
  }
  EXPECT_FALSE(same_bits(cross.at(1), cross.at(2)));
  EXPECT_TRUE(same_bits(cross.at(3), cross.at(kSteps - 1)));
}

TEST_F(STDiT3Test, PabReusesWholeModules) {
  const Tensor none = run({{1, 3}}, {});
  EXPECT_FALSE(same_bits(none, run({{1, 3}}, {"pab", {}})));
  // Nothing lies between 500 and 500.
  const PolicySpec never{"pab", {{"window_low", "500"}, {"window_high", "500"}}};
  EXPECT_TRUE(same_bits(none, run({{1, 3}}, never)));
}

TEST_F(STDiT3Test, APolicyThatNeverSkipsGivesTheBitsOfNone) {
  const Tensor none = run({{1, 3}}, {});
  const std::map<std::string, std::string> every{{"interval", "1"}};
  const std::map<std::string, std::string> strict{{"delta", "0"}, {"polynomial", "1,0"}};
  for (const PolicySpec& spec :
       {PolicySpec{"taylorseer", every}, PolicySpec{"taylorseer_lite", every},
        PolicySpec{"magcache", {{"max_skips", "0"}}}, PolicySpec{"teacache", strict},
        PolicySpec{"taylorseer_lite+fora",
                   {{"taylorseer_lite.interval", "1"}, {"fora.interval", "1"}}}}) {
    EXPECT_TRUE(same_bits(none, run({{1, 3}}, spec))) << spec.name;
  }
}

TEST_F(STDiT3Test, APolicyForTheTrunkThatNeverSkipsLeavesTheRankingAlone) {
  for (const char* const score : {"entropy", "attention", "value_norm", "similarity"}) {
    const Tensor toca = run({{1, 3}}, ranked_by(score));
    for (const char* const trunk : {"fbcache", "dbcache", "teacache"}) {
      PolicySpec both = ranked_by(score);
      both.name = std::string(trunk) + "+toca";
      if (both.name.starts_with("teacache")) {
        both.options.insert({{"delta", "0"}, {"polynomial", "1,0"}});
      } else {
        both.options["threshold"] = "0";
      }
      EXPECT_TRUE(same_bits(toca, run({{1, 3}}, both))) << both.name << " " << score;
    }
  }
}

const std::vector<PolicySpec>& skipping_policies() {
  static const std::vector<PolicySpec> specs{{"taylorseer", {{"order", "2"}}},
                                             {"taylorseer_lite", {}},
                                             {"taylorseer_lite", {{"order", "0"}}},
                                             {"magcache", {}},
                                             {"magcache+toca", {}}};
  return specs;
}

TEST_F(STDiT3Test, WhatStandsInForTheTrunkDoesNotDependOnNeighboursOrThreads) {
  std::vector<Tensor> results;
  for (const PolicySpec& spec : skipping_policies()) {
    const Tensor batch = run({{1, 3}, {2, 6}}, spec);
    EXPECT_TRUE(same_bits(batch.view().rows(1, 1), run({{2, 6}}, spec))) << spec.name;
    EXPECT_FALSE(same_bits(batch.view().rows(1, 1), run({{2, 6}}, {}))) << spec.name;
    results.push_back(run({{1, 3}, {2, 6}}, spec));
  }
  backend_ = make_backend(3);
  weights_ = load_tiny();
  for (size_t i = 0; i < results.size(); ++i) {
    EXPECT_TRUE(same_bits(results[i], run({{1, 3}, {2, 6}}, skipping_policies()[i]))) << i;
  }
}

TEST_F(STDiT3Test, ADynamicPolicyRendersOneClipAtATime) {
  const PolicySpec teacache{"teacache", {{"delta", "0.5"}, {"polynomial", "1,0"}}};
  EXPECT_FALSE(same_bits(run({{1, 3}}, {}), run({{1, 3}}, teacache)));
  EXPECT_THROW(run({{1, 3}, {2, 6}}, teacache), Error);
}

// Asks for all that can be measured, runs the second layer at even steps, and writes down what it
// is told.
class ProbePolicy : public CachePolicy {
 public:
  explicit ProbePolicy(std::vector<StepChanges>& told) : told_(told) {}

  ModuleDecision decide(const ModuleSite&) const override { return {Decision::kRefresh, 12}; }
  bool is_refresh_point(int) const override { return true; }
  CacheNeeds needs() const override {
    return {.features = true,
            .trunk = TrunkKept::kResidual,
            .changes = {.modulated_input = true,
                        .input = true,
                        .front = true,
                        .residual = true,
                        .output = true,
                        .module = ModulePlace{0, BlockKind::kTemporal, Module::kSelfAttention}}};
  }
  LayerSpan span(int) const override { return {1, 2}; }
  bool is_dynamic() const override { return true; }
  std::unique_ptr<PolicyRun> begin() const override { return std::make_unique<Run>(*this, told_); }

 private:
  class Run : public PolicyRun {
   public:
    Run(const CachePolicy& policy, std::vector<StepChanges>& told) : policy_(policy), told_(told) {}
    TrunkDecision decide_trunk(int step, const StepChanges& changes) override {
      EXPECT_FALSE(changes.output || changes.residual || changes.module);  // not known yet
      return step % 2 == 0 ? TrunkDecision::kRun : TrunkDecision::kReuse;
    }
    ModuleDecision decide(const ModuleSite& site) const override { return policy_.decide(site); }
    bool is_refresh_point(int step) const override { return step % 2 == 0; }
    void end_step(int, const StepChanges& changes) override { told_.push_back(changes); }

   private:
    const CachePolicy& policy_;
    std::vector<StepChanges>& told_;
  };

  std::vector<StepChanges>& told_;
};

TEST_F(STDiT3Test, ADynamicRunIsToldWhatItAskedFor) {
  std::vector<StepChanges> told;
  const ProbePolicy policy(told);
  int spatial_of_layer_1 = 0;
  StepHooks hooks;
  hooks.on_module = [&](const ModuleReport& report) {
    spatial_of_layer_1 += report.layer == 1 && report.tokens_computed > 0;
    EXPECT_TRUE(report.layer == 1 || report.decision == Decision::kRefresh);
  };
  run_policy({{1, 3}}, policy, 0, 4, nullptr, hooks);
  ASSERT_EQ(told.size(), 4u);
  EXPECT_EQ(spatial_of_layer_1, 2 * 6);  // steps 0 and 2
  EXPECT_FALSE(told[0].modulated_input || told[0].input || told[0].front || told[0].residual ||
               told[0].output || told[0].module);
  for (const size_t step : {size_t{1}, size_t{2}, size_t{3}}) {
    const StepChanges& changes = told[step];
    for (const auto& change :
         {changes.modulated_input, changes.input, changes.front, changes.output, changes.module}) {
      ASSERT_TRUE(change) << step;
      EXPECT_GT(change->relative(), 0);
    }
    EXPECT_EQ(changes.residual.has_value(), step == 2);  // only where the span runs
  }
  // On other threads the same, to the bit.
  const std::vector<StepChanges> first = std::move(told);
  told.clear();
  backend_ = make_backend(3);
  weights_ = load_tiny();
  run_policy({{1, 3}}, policy, 0, 4);
  for (size_t step = 1; step < 4; ++step) {
    EXPECT_EQ(told[step].modulated_input->difference, first[step].modulated_input->difference);
    EXPECT_EQ(told[step].front->difference, first[step].front->difference);
    EXPECT_EQ(told[step].output->difference, first[step].output->difference);
    EXPECT_EQ(told[step].module->reference, first[step].module->reference);
  }
}

TEST_F(STDiT3Test, ASkippedTrunkReusesEveryTokenOfEveryModule) {
  int runs = 0, calls = 0;
  StepHooks hooks;
  bool skipped = false;
  hooks.on_trunk = [&](int, TrunkDecision decision, bool refresh_point) {
    skipped = decision != TrunkDecision::kRun;
    EXPECT_EQ(refresh_point, !skipped);
    runs += skipped ? 0 : 1;
  };
  hooks.on_module = [&](const ModuleReport& report) {
    ++calls;
    EXPECT_EQ(report.decision, skipped ? Decision::kReuse : Decision::kRefresh);
    EXPECT_EQ(report.tokens_computed, skipped ? 0 : 2 * 12);
    EXPECT_EQ(report.tokens_reused, skipped ? 2 * 12 : 0);
    EXPECT_EQ(report.flops == 0, skipped);
  };
  run({{1, 3}}, {"magcache", {}}, 0, kSteps, nullptr, hooks);
  EXPECT_EQ(calls, kSteps * 4 * 3);
  EXPECT_EQ(runs, 3);  // 0, 2 and 5
}

TEST_F(STDiT3Test, ARenderTakenUpAtARefreshPointHasTheSameBits) {
  for (const PolicySpec& toca :
       {PolicySpec{"toca", {}}, ranked_by("value_norm"), ranked_by("random"),
        PolicySpec{"toca-shared", {}}, PolicySpec{"toca-shared", {{"fold", "trunk"}}}}) {
    const Tensor whole = run({{1, 3}}, toca);
    const Tensor cut = run({{1, 3}}, toca, 0, 6);
    EXPECT_TRUE(same_bits(whole, run({{1, 3}}, toca, 6, kSteps, &cut)));
  }
}

}  // namespace
}  // namespace engine
