// T-GATE against tables worked out by hand from caching-policies.md.
#include <gtest/gtest.h>

#include "cache/cache_policy.h"
#include "engine/error.h"

namespace engine {
namespace {

constexpr PolicyContext kOpenSora{.steps = 30, .depth = 28, .tokens = 23850};

std::vector<int> computed_steps(const CachePolicy& policy, Module module) {
  std::vector<int> computed;
  for (int step = 0; step < kOpenSora.steps; ++step) {
    const ModuleSite site{.step = step, .layer = 3, .module = module};
    if (policy.decide(site).decision == Decision::kRefresh) computed.push_back(step);
  }
  return computed;
}

TEST(TGate, EndsCrossAttentionAtItsGate) {
  const auto policy = make_policy({"tgate", {}}, kOpenSora);
  EXPECT_EQ(computed_steps(*policy, Module::kCrossAttention),
            (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}));
  EXPECT_EQ(computed_steps(*policy, Module::kSelfAttention).size(), 30u);
  EXPECT_EQ(computed_steps(*policy, Module::kMlp).size(), 30u);
  for (int step = 0; step < 30; ++step) EXPECT_EQ(policy->is_refresh_point(step), step < 12);
}

TEST(TGate, MergesTheGuidanceHalvesOfCrossAttentionOnce) {
  const auto policy = make_policy({"tgate", {{"gate", "5"}}}, kOpenSora);
  for (int step = 0; step < 30; ++step) {
    EXPECT_EQ(policy->merges_guidance({.step = step, .module = Module::kCrossAttention}),
              step == 5);
    EXPECT_FALSE(policy->merges_guidance({.step = step, .module = Module::kMlp}));
  }
}

TEST(TGate, ThinsOutSelfAttentionBeforeTheGateAlone) {
  const auto policy = make_policy({"tgate", {{"gate", "7"}, {"self_interval", "3"}}}, kOpenSora);
  const std::vector<int> computed = computed_steps(*policy, Module::kSelfAttention);
  EXPECT_EQ((std::vector<int>{computed.begin(), computed.begin() + 5}),
            (std::vector<int>{0, 3, 6, 7, 8}));
  EXPECT_EQ(computed.size(), 26u);
  EXPECT_TRUE(policy->is_refresh_point(6));
  EXPECT_FALSE(policy->is_refresh_point(5));
  EXPECT_FALSE(policy->is_refresh_point(9));
}

TEST(TGate, SaysWhereItCannotWork) {
  PolicyContext dit = kOpenSora;
  dit.published = PublishedSettings::kDitDdim;
  EXPECT_THROW(make_policy({"tgate", {}}, dit), Error);
  EXPECT_EQ(make_policy({"tgate", {{"gate", "30"}}}, kOpenSora)->warnings().size(), 1u);
  EXPECT_TRUE(make_policy({"tgate", {}}, kOpenSora)->warnings().empty());
}

}  // namespace
}  // namespace engine
