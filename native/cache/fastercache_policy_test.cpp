// FasterCache's guidance part against tables worked out by hand from caching-policies.md.
#include <gtest/gtest.h>

#include "cache/cache_policy.h"
#include "engine/error.h"

namespace engine {
namespace {

constexpr PolicyContext kOpenSora{.steps = 30, .depth = 28, .tokens = 23850};

std::vector<int> conditional_steps(const CachePolicy& policy, int steps) {
  std::vector<int> conditional;
  for (int step = 0; step < steps; ++step) {
    if (!policy.guidance(step).computed) conditional.push_back(step);
  }
  return conditional;
}

TEST(FasterCache, ComputesBothHalvesAtEveryFifthStepOfTheSecondPart) {
  const auto policy = make_policy({"fastercache", {}}, kOpenSora);
  EXPECT_EQ(conditional_steps(*policy, 30),
            (std::vector<int>{12, 13, 14, 16, 17, 18, 19, 21, 22, 23, 24, 26, 27, 28, 29}));
  EXPECT_TRUE(policy->guidance(30).computed);  // there is no such step
  for (int step = 0; step < 30; ++step) {
    EXPECT_EQ(policy->is_refresh_point(step), policy->guidance(step).computed);
    const ModuleSite site{.step = step};
    EXPECT_EQ(policy->decide(site).decision, Decision::kRefresh);
    const ModuleDecision planned = planned_decision(*policy, site);
    EXPECT_EQ(planned.decision,
              policy->guidance(step).computed ? Decision::kRefresh : Decision::kConditional);
    EXPECT_EQ(planned.tokens, 23850);
  }
}

TEST(FasterCache, WeighsLowFrequenciesEarlyAndHighOnesLate) {
  const auto policy = make_policy({"fastercache", {}}, kOpenSora);
  const auto weights = [&](int step) {
    const GuidanceDecision at = policy->guidance(step);
    return std::pair{at.low_weight, at.high_weight};
  };
  EXPECT_EQ(weights(12), (std::pair{1.15, 1.0}));
  EXPECT_EQ(weights(19), (std::pair{1.15, 1.0}));
  EXPECT_EQ(weights(21), (std::pair{1.15, 1.15}));
  EXPECT_EQ(weights(24), (std::pair{1.15, 1.15}));
  EXPECT_EQ(weights(26), (std::pair{1.0, 1.15}));
}

TEST(FasterCache, StretchesThePublishedStepsToOtherNumbersOfThem) {
  PolicyContext twenty = kOpenSora;
  twenty.steps = 20;  // from 8; low until 17, high from 13
  const auto policy = make_policy({"fastercache", {{"interval", "4"}}}, twenty);
  EXPECT_EQ(conditional_steps(*policy, 20), (std::vector<int>{9, 10, 11, 13, 14, 15, 17, 18, 19}));
  EXPECT_EQ(policy->guidance(11).high_weight, 1);
  EXPECT_EQ(policy->guidance(13).high_weight, 1.15);
  EXPECT_EQ(policy->guidance(15).low_weight, 1.15);
  EXPECT_EQ(policy->guidance(17).low_weight, 1);
  PolicyContext one = kOpenSora;
  one.steps = 1;
  EXPECT_TRUE(make_policy({"fastercache", {}}, one)->guidance(0).computed);
}

TEST(FasterCache, TakesItsOptionsAndRefusesOthers) {
  const auto policy = make_policy({"fastercache",
                                   {{"from", "1"},
                                    {"interval", "2"},
                                    {"low_weight", "0.5"},
                                    {"low_until", "4"},
                                    {"high_weight", "2"},
                                    {"high_from", "5"}}},
                                  kOpenSora);
  EXPECT_EQ(policy->guidance(3).low_weight, 0.5);
  EXPECT_EQ(policy->guidance(5).low_weight, 1);
  EXPECT_EQ(policy->guidance(3).high_weight, 1);
  EXPECT_EQ(policy->guidance(5).high_weight, 2);
  EXPECT_THROW(make_policy({"fastercache", {{"from", "0"}}}, kOpenSora), Error);
  EXPECT_THROW(make_policy({"fastercache", {{"low_weight", "2.5"}}}, kOpenSora), Error);
  EXPECT_THROW(make_policy({"fastercache+toca", {}}, kOpenSora), Error);
  EXPECT_THROW(make_policy({"mask+fastercache", {}}, kOpenSora), Error);
}

}  // namespace
}  // namespace engine
