// ClusCa's decisions against tables worked out by hand from caching-policies.md.
#include <gtest/gtest.h>

#include <map>

#include "cache/cache_policy.h"
#include "engine/error.h"

namespace engine {
namespace {

constexpr PolicyContext kOpenSora{.steps = 30, .depth = 28, .tokens = 23850};

std::vector<int> full_steps(const CachePolicy& policy, int steps) {
  std::vector<int> full;
  for (int step = 0; step < steps; ++step) {
    const ModuleDecision mlp = policy.decide({.step = step, .module = Module::kMlp});
    if (mlp.decision == Decision::kRefresh) full.push_back(step);
    for (const Module module : {Module::kSelfAttention, Module::kCrossAttention}) {
      const ModuleDecision attention = policy.decide({.step = step, .module = module});
      const bool is_full = mlp.decision == Decision::kRefresh;
      EXPECT_EQ(attention.decision, is_full ? Decision::kRefresh : Decision::kForecast);
      EXPECT_EQ(attention.tokens, is_full ? mlp.tokens : 0);
    }
  }
  return full;
}

TEST(Clusca, ForecastsAttentionAndComputesATokenOfEveryGroupBetweenFullSteps) {
  PolicyContext dit = kOpenSora;
  dit.published = PublishedSettings::kDitDdim;
  dit.steps = 20;
  dit.tokens = 256;
  const auto published = make_policy({"clusca", {}}, dit);
  EXPECT_EQ(full_steps(*published, 20), (std::vector<int>{0, 1, 6, 11, 16}));
  const ModuleDecision partial = published->decide({.step = 2, .module = Module::kMlp});
  EXPECT_EQ(partial.decision, Decision::kPartial);
  EXPECT_EQ(partial.tokens, 16);
  EXPECT_EQ(published->needs().orders, 4);
  EXPECT_EQ(published->needs().clusters.count, 16);
  const auto video = make_policy({"clusca", {}}, kOpenSora);
  EXPECT_EQ(full_steps(*video, 12), (std::vector<int>{0, 1, 2, 5, 8, 11}));
  EXPECT_EQ(video->needs().orders, 1);
  EXPECT_TRUE(video->is_refresh_point(0));
  EXPECT_FALSE(video->is_refresh_point(5));
  // Plain reuse is corrected beside what is kept, too.
  EXPECT_TRUE(make_policy({"clusca", {{"order", "0"}}}, kOpenSora)->needs().refreshes_apart());
}

TEST(Clusca, MakesNoMoreGroupsThanThereAreTokens) {
  PolicyContext few = kOpenSora;
  few.tokens = 6;
  const auto policy = make_policy({"clusca", {}}, few);
  EXPECT_EQ(policy->needs().clusters.count, 6);
  EXPECT_EQ(policy->decide({.step = 3, .module = Module::kMlp}).tokens, 6);
}

TEST(Clusca, RunsUnderAPolicyForTheTrunkAndRefusesWhatIsOutOfBounds) {
  const auto both = make_policy({"magcache+clusca", {}}, kOpenSora);
  EXPECT_EQ(both->needs().clusters.count, 16);
  EXPECT_EQ(both->needs().trunk, TrunkKept::kResidual);
  for (const auto& [option, value] : std::map<std::string, std::string>{
           {"clusters", "0"}, {"weight", "1.5"}, {"iterations", "0"}, {"order", "5"}}) {
    EXPECT_THROW(make_policy({"clusca", {{option, value}}}, kOpenSora), Error) << option;
  }
  // All of it decides the bits.
  EXPECT_NE(make_policy({"clusca", {{"weight", "0.1"}}}, kOpenSora)->fingerprint(),
            make_policy({"clusca", {{"weight", "0.2"}}}, kOpenSora)->fingerprint());
}

}  // namespace
}  // namespace engine
