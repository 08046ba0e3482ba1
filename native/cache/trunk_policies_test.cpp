// Policies for the whole trunk against tables worked out by hand from caching-policies.md, and what
// becomes of them together with a policy for modules.
#include <gtest/gtest.h>

#include "cache/cache_policy.h"
#include "engine/error.h"

namespace engine {
namespace {

// Open-Sora 1.2, 480p, 51 frames.
constexpr PolicyContext kOpenSora{.steps = 30, .depth = 28, .tokens = 23850};
constexpr PolicyContext kPixart{
    .steps = 20, .depth = 28, .tokens = 256, .published = PublishedSettings::kPixartAlpha};

using Options = std::map<std::string, std::string>;

std::vector<int> steps_that_run(const CachePolicy& policy, int steps = 30) {
  std::vector<int> run;
  for (int step = 0; step < steps; ++step) {
    if (policy.trunk(step) == TrunkDecision::kRun) run.push_back(step);
  }
  return run;
}

std::vector<int> refresh_points(const CachePolicy& policy, int steps = 30) {
  std::vector<int> points;
  for (int step = 0; step < steps; ++step) {
    if (policy.is_refresh_point(step)) points.push_back(step);
  }
  return points;
}

std::string refusal(const PolicySpec& spec, const PolicyContext& context = kOpenSora) {
  try {
    make_policy(spec, context);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
  return "";
}

StepChanges changed_by(double share) {
  StepChanges changes;
  changes.modulated_input = Change{.difference = share * 4, .reference = 4};
  return changes;
}

TEST(DucaPolicy, AlternatesConservativeAndAggressiveSteps) {
  const auto policy = make_policy({"duca", {}}, kOpenSora);
  std::vector<int> skipped;
  for (int step = 0; step < 30; ++step) {
    if (policy->trunk(step) == TrunkDecision::kReuse) skipped.push_back(step);
  }
  EXPECT_EQ(skipped, (std::vector<int>{5, 8, 11, 14, 17, 20, 23, 26, 29}));
  EXPECT_EQ(policy->needs().trunk, TrunkKept::kOutput);
  const ModuleDecision mlp = policy->decide({.step = 4, .module = Module::kMlp});
  EXPECT_EQ(mlp.decision, Decision::kPartial);
  EXPECT_EQ(mlp.tokens, 3565);  // 0.1495 of 23850
  EXPECT_EQ(refresh_points(*policy), (std::vector<int>{0, 1, 2, 6, 12, 18, 24}));
  // Full at 10, 15, ..: conservative at distances 1 and 3, aggressive at 2 and 4.
  const auto five = make_policy({"duca", {{"interval", "5"}}}, kOpenSora);
  EXPECT_EQ(five->trunk(11), TrunkDecision::kRun);
  EXPECT_EQ(five->trunk(12), TrunkDecision::kReuse);
  EXPECT_EQ(five->trunk(13), TrunkDecision::kRun);
  EXPECT_EQ(five->trunk(14), TrunkDecision::kReuse);
}

TEST(DucaPolicy, TakesAConstantShareOnPixart) {
  const auto policy = make_policy({"duca", {}}, kPixart);
  EXPECT_EQ(steps_that_run(*policy, 20),
            (std::vector<int>{0, 1, 3, 4, 6, 7, 9, 10, 12, 13, 15, 16, 18, 19}));
  for (const Module module : {Module::kCrossAttention, Module::kMlp}) {
    EXPECT_EQ(policy->decide({.step = 4, .layer = 20, .module = module}).tokens, 192);
  }
}

TEST(MagcachePolicy, SkipsTwoOfThreeStepsAfterAFifth) {
  // Errors of two skips are at most 0.0411 (steps 27 and 28): max_skips alone ends every run of
  // them.
  const auto policy = make_policy({"magcache", {}}, kOpenSora);
  const std::vector<int> expected{0, 1, 2, 3, 4, 5, 8, 11, 14, 17, 20, 23, 26, 29};
  EXPECT_EQ(steps_that_run(*policy), expected);
  EXPECT_EQ(refresh_points(*policy), expected);
  EXPECT_EQ(policy->decide({.step = 6}).decision, Decision::kRefresh);
  EXPECT_EQ(planned_decision(*policy, {.step = 6}).decision, Decision::kReuse);
  EXPECT_TRUE(policy->warnings().empty());
}

TEST(MagcachePolicy, ComputesWhereTheErrorWouldGrowTooLarge) {
  // From step 24 with delta 0.03: 1 - 0.99216 = 0.0078, + 1 - 0.98438 = 0.0234, and with step 26
  // (0.9765 · 0.98438 · ..) 0.0508. Step 27 alone is 0.0118, with 28 0.0411.
  const auto policy =
      make_policy({"magcache", {{"delta", "0.03"}, {"max_skips", "30"}}}, kOpenSora);
  const std::vector<int> run = steps_that_run(*policy);
  // Step 6: .0020; 7: .0078; 8: .0137; 9: .0195; 10: .0273; 11: .0389 > 0.03.
  EXPECT_EQ(run[6], 11);
  const auto strict = make_policy({"magcache", {{"delta", "0"}}}, kOpenSora);
  // Only steps whose ratio is 1 cost nothing: 8, 9 and 12.
  EXPECT_EQ(steps_that_run(*strict).size(), 27u);
  EXPECT_EQ(strict->trunk(8), TrunkDecision::kReuse);
  EXPECT_EQ(strict->trunk(9), TrunkDecision::kReuse);
  EXPECT_EQ(strict->trunk(12), TrunkDecision::kReuse);
}

TEST(MagcachePolicy, InterpolatesItsCurveAndSaysSo) {
  PolicyContext ten = kOpenSora;
  ten.steps = 10;
  const auto policy = make_policy({"magcache", {{"ratios", "0.9,0.7"}, {"delta", "0.5"}}}, ten);
  // Steps 1 to 9 have ratios 0.9, 0.875, 0.85, ... 0.7. From step 2 the errors are 0.125 and, with
  // 1 - 0.875 · 0.85, 0.381; max_skips ends it at 4. From 5: 0.2, and with 1 - 0.8 · 0.775 0.58.
  // From 7: 0.25, and with 1 - 0.75 · 0.725 0.706.
  EXPECT_EQ(steps_that_run(*policy, 10), (std::vector<int>{0, 1, 4, 6, 8}));
  ASSERT_EQ(policy->warnings().size(), 1u);
  EXPECT_NE(policy->warnings()[0].find("3 steps and is interpolated for 10"), std::string::npos);
  EXPECT_NE(refusal({"magcache", {}}, kPixart).find("option ratios"), std::string::npos);
  EXPECT_NE(refusal({"magcache", {{"ratios", "0.9,x"}}}).find("separated by commas"),
            std::string::npos);
}

TEST(TeacachePolicy, ComputesWhenTheEstimatesAddUpToItsBound) {
  const auto policy = make_policy({"teacache", {{"delta", "0.3"}, {"polynomial", "2,0"}}},
                                  {.steps = 8, .depth = 2, .tokens = 4});
  ASSERT_TRUE(policy->is_dynamic());
  const auto run = policy->begin();
  const auto runs = [&](int step, double change) {
    const bool ran = run->decide_trunk(step, changed_by(change)) == TrunkDecision::kRun;
    EXPECT_EQ(run->is_refresh_point(step), ran);
    return ran;
  };
  EXPECT_EQ(run->decide_trunk(0, {}), TrunkDecision::kRun);
  EXPECT_FALSE(runs(1, 0.1));    // 0.2
  EXPECT_TRUE(runs(2, 0.0625));  // 0.325
  EXPECT_FALSE(runs(3, 0.125));  // 0.25: the sum began again
  EXPECT_TRUE(runs(4, 0.03));    // 0.31
  EXPECT_TRUE(runs(5, 0.15));    // 0.3 is not below it
  EXPECT_FALSE(runs(6, 0));
  EXPECT_TRUE(runs(7, 0));  // the last step
}

TEST(TeacachePolicy, HasThePublishedPolynomialForOpenSoraAlone) {
  // At x = 0.1: 0.0217546007 - 0.118329252 + 0.268662585 - 0.00459364272 + 0.0484426240 = 0.2159.
  const auto policy = make_policy({"teacache", {{"delta", "0.22"}}}, kOpenSora);
  const auto run = policy->begin();
  run->decide_trunk(0, {});
  EXPECT_EQ(run->decide_trunk(1, changed_by(0.1)), TrunkDecision::kReuse);
  const auto stricter = make_policy({"teacache", {{"delta", "0.215"}}}, kOpenSora);
  const auto run_of_it = stricter->begin();
  run_of_it->decide_trunk(0, {});
  EXPECT_EQ(run_of_it->decide_trunk(1, changed_by(0.1)), TrunkDecision::kRun);
  EXPECT_NE(refusal({"teacache", {}}, kPixart).find("option polynomial"), std::string::npos);
}

TEST(TeacachePolicy, ExpectsWhatWasPublished) {
  const auto policy = make_policy({"teacache", {}}, kOpenSora);
  EXPECT_EQ(policy->run_share(0), 1);
  EXPECT_EQ(policy->run_share(29), 1);
  EXPECT_NEAR(policy->run_share(7), 1 / 1.55, 0.03);
  EXPECT_EQ(refresh_points(*policy).size(), 30u);
}

TEST(TaylorseerPolicy, ForecastsBetweenFullSteps) {
  const auto policy = make_policy({"taylorseer", {}}, kOpenSora);
  EXPECT_EQ(policy->needs().orders, 1);
  for (int step = 0; step < 30; ++step) {
    // The first three, then every third: 5, 8, 11, ...
    const bool full = step <= 2 || step % 3 == 2;
    EXPECT_EQ(policy->decide({.step = step, .module = Module::kMlp}).decision,
              full ? Decision::kRefresh : Decision::kForecast)
        << step;
  }
  EXPECT_EQ(refresh_points(*policy), std::vector<int>{0});
  PolicyContext dit{.steps = 50, .depth = 28, .tokens = 256, .temporal_blocks = false};
  dit.published = PublishedSettings::kDitDdim;
  const auto published = make_policy({"taylorseer", {}}, dit);
  EXPECT_EQ(published->needs().orders, 4);
  EXPECT_EQ(published->decide({.step = 5}).decision, Decision::kRefresh);  // 0, 1, 5, 9, ...
  EXPECT_EQ(published->decide({.step = 4}).decision, Decision::kForecast);
}

TEST(TaylorseerPolicy, OfOrderZeroReusesWhatIsKept) {
  const auto policy = make_policy({"taylorseer", {{"order", "0"}}}, kOpenSora);
  EXPECT_EQ(policy->decide({.step = 4}).decision, Decision::kReuse);
  EXPECT_EQ(policy->decide({.step = 5}).decision, Decision::kRefresh);
  EXPECT_EQ(refresh_points(*policy).size(), 12u);
}

TEST(TaylorseerPolicy, LiteForecastsTheTrunk) {
  const auto policy = make_policy({"taylorseer_lite", {{"order", "2"}}}, kOpenSora);
  EXPECT_FALSE(policy->needs().features);
  EXPECT_EQ(policy->needs().trunk_orders, 2);
  EXPECT_EQ(policy->trunk(3), TrunkDecision::kForecast);
  EXPECT_EQ(planned_decision(*policy, {.step = 3}).decision, Decision::kForecast);
  EXPECT_EQ(policy->trunk(5), TrunkDecision::kRun);
  EXPECT_EQ(refresh_points(*policy), std::vector<int>{0});
  const auto reuse = make_policy({"taylorseer_lite", {{"order", "0"}}}, kOpenSora);
  EXPECT_EQ(refresh_points(*reuse).size(), 12u);  // nothing reaches back
  EXPECT_EQ(reuse->trunk(4), TrunkDecision::kReuse);
}

TEST(ComposedPolicy, CatchesUpAtTheNextStepThatRuns) {
  // MagCache runs 0 to 5, 8, 11, 14, .. of which toca refreshes at 0 to 3 (cross-attention at 0, 1
  // and 2); 6 falls to 8, 9 to 11, 12 to 14.
  const auto policy = make_policy({"magcache+toca", {}}, kOpenSora);
  const auto decision = [&](int step, Module module) {
    return policy->decide({.step = step, .layer = 3, .module = module}).decision;
  };
  EXPECT_EQ(decision(4, Module::kMlp), Decision::kPartial);
  EXPECT_EQ(decision(4, Module::kSelfAttention), Decision::kReuse);
  for (const int step : {8, 11, 14, 17}) {
    EXPECT_EQ(decision(step, Module::kMlp), Decision::kRefresh) << step;
  }
  EXPECT_EQ(decision(8, Module::kCrossAttention), Decision::kRefresh);
  EXPECT_EQ(decision(11, Module::kCrossAttention), Decision::kPartial);
  EXPECT_EQ(decision(14, Module::kCrossAttention), Decision::kRefresh);
  EXPECT_EQ(refresh_points(*policy), (std::vector<int>{0, 1, 2, 8, 14, 20, 26}));
  EXPECT_EQ(policy->needs().trunk, TrunkKept::kResidual);
  EXPECT_TRUE(policy->needs().scores);
}

TEST(ComposedPolicy, CatchesUpWhatADynamicPolicySkipped) {
  const auto policy = make_policy(
      {"teacache+fora", {{"polynomial", "1,0"}, {"delta", "1"}, {"interval", "3"}, {"warm", "1"}}},
      {.steps = 9, .depth = 2, .tokens = 4});
  const auto run = policy->begin();
  const auto decision = [&](int step) { return run->decide({.step = step}).decision; };
  run->decide_trunk(0, {});
  EXPECT_EQ(decision(0), Decision::kRefresh);
  run->decide_trunk(1, changed_by(2));
  EXPECT_EQ(decision(1), Decision::kReuse);
  EXPECT_EQ(decision(2), Decision::kReuse);  // as a step after
  EXPECT_EQ(decision(3), Decision::kRefresh);
  EXPECT_FALSE(run->is_refresh_point(1));
  EXPECT_EQ(run->decide_trunk(2, changed_by(0.1)), TrunkDecision::kReuse);
  EXPECT_EQ(run->decide_trunk(3, changed_by(0.1)), TrunkDecision::kReuse);
  EXPECT_FALSE(run->is_refresh_point(3));
  run->decide_trunk(4, changed_by(1));
  EXPECT_EQ(decision(4), Decision::kRefresh);  // of step 3
  EXPECT_TRUE(run->is_refresh_point(4));
  run->decide_trunk(5, changed_by(1));
  EXPECT_EQ(decision(5), Decision::kReuse);
  // An attempt that is resumed at step 4 decides the same.
  const auto resumed = policy->begin();
  resumed->decide_trunk(4, {});
  EXPECT_EQ(resumed->decide({.step = 4}).decision, Decision::kRefresh);
  EXPECT_TRUE(resumed->is_refresh_point(4));
  resumed->decide_trunk(5, changed_by(1));
  EXPECT_EQ(resumed->decide({.step = 5}).decision, Decision::kReuse);
}

TEST(ComposedPolicy, PromisesNoRefreshPointThatItsModulesCannotHave) {
  const auto forecasts = make_policy({"fbcache+taylorseer", {}}, kOpenSora);
  EXPECT_EQ(refresh_points(*forecasts), std::vector<int>{0});
  // Steps 1 to 4 catch up nothing that fora refreshes; any later one may.
  const auto reuses =
      make_policy({"fbcache+fora", {{"interval", "5"}, {"fora.warm", "1"}}}, kOpenSora);
  EXPECT_EQ(refresh_points(*reuses).size(), 26u);
  EXPECT_TRUE(reuses->is_refresh_point(0));
  EXPECT_FALSE(reuses->is_refresh_point(4));
}

TEST(ComposedPolicy, TakesOptionsByNameWhereBothKnowThem) {
  EXPECT_EQ(refusal({"taylorseer_lite+toca", {{"taylorseer_lite.warm", "4"}, {"toca.warm", "2"}}}),
            "");
  EXPECT_NE(refusal({"taylorseer_lite+toca", {{"warm", "4"}}})
                .find("write taylorseer_lite.warm or toca.warm"),
            std::string::npos);
  EXPECT_NE(refusal({"magcache+toca", {{"tocca", "4"}}})
                .find("known to magcache: delta (a number from 0 to 1)"),
            std::string::npos);
  EXPECT_NE(refusal({"magcache+toca", {{"toca.delta", "4"}}}).find("no option \"delta\""),
            std::string::npos);
  EXPECT_NE(refusal({"magcache+toca", {{"interval", "4"}, {"toca.interval", "2"}}})
                .find("option interval is given as toca.interval too; give it once"),
            std::string::npos);
  const auto policy =
      make_policy({"magcache+toca", {{"max_skips", "1"}, {"fresh_ratio", "0.2"}}}, kOpenSora);
  EXPECT_EQ(policy->trunk(7), TrunkDecision::kRun);
  EXPECT_EQ(policy->decide({.step = 4, .module = Module::kMlp}).tokens, 7131);  // 0.299 of 23850
}

TEST(ComposedPolicy, IsOneForTheTrunkAndOneForTheModules) {
  EXPECT_NE(refusal({"toca+magcache", {}}).find("must be one for the trunk"), std::string::npos);
  EXPECT_NE(refusal({"magcache+steps", {}}).find("one for the modules (one of fora"),
            std::string::npos);
  EXPECT_NE(refusal({"magcache+", {}}).find("unknown policy \"\""), std::string::npos);
  EXPECT_NE(refusal({"magcache+toca+fora", {}}).find("unknown policy"), std::string::npos);
}

}  // namespace
}  // namespace engine
