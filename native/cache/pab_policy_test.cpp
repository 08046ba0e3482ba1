// PAB against the steps worked out by hand from caching-policies.md: its times are those of 480p,
// 51 frames and 30 steps, where 450 < t < 930 holds at steps 9 to 25.
#include <gtest/gtest.h>

#include "cache/cache_policy.h"
#include "engine/error.h"

namespace engine {
namespace {

// r = sqrt(480 · 854 / 512²) · sqrt(15).
constexpr PolicyContext kOpenSora{.steps = 30, .depth = 28, .tokens = 23850, .time_shift = 4.84313};

struct Site {
  int layer;
  BlockKind block;
  Module module;
};

std::vector<int> reused_steps(const CachePolicy& policy, const PolicyContext& context, Site site) {
  std::vector<int> reused;
  for (int step = 0; step < context.steps; ++step) {
    const ModuleDecision decision = policy.decide(
        {.step = step, .layer = site.layer, .block = site.block, .module = site.module});
    EXPECT_EQ(decision.tokens, decision.decision == Decision::kReuse ? 0 : context.tokens);
    if (decision.decision == Decision::kReuse) reused.push_back(step);
  }
  return reused;
}

TEST(PabPolicy, ReusesEachKindOfAttentionByItsIntervalInsideTheWindow) {
  const auto policy = make_policy({"pab", {}}, kOpenSora);
  const auto reused = [&](BlockKind block, Module module) {
    return reused_steps(*policy, kOpenSora, {7, block, module});
  };
  EXPECT_EQ(reused(BlockKind::kSpatial, Module::kSelfAttention),
            (std::vector<int>{9, 11, 13, 15, 17, 19, 21, 23, 25}));
  EXPECT_EQ(reused(BlockKind::kTemporal, Module::kSelfAttention),
            (std::vector<int>{9, 10, 11, 13, 14, 15, 17, 18, 19, 21, 22, 23, 25}));
  const std::vector<int> cross{9, 10, 11, 13, 14, 15, 16, 17, 19, 20, 21, 22, 23, 25};
  EXPECT_EQ(reused(BlockKind::kSpatial, Module::kCrossAttention), cross);
  EXPECT_EQ(reused(BlockKind::kTemporal, Module::kCrossAttention), cross);
}

TEST(PabPolicy, SkipsTwoMlpsOfTheFirstLayersAfterEachNamedTime) {
  const auto policy = make_policy({"pab", {}}, kOpenSora);
  // 864, 788 and 676 are the times of steps 13, 17 and 21.
  const std::vector<int> expected{14, 15, 18, 19, 22, 23};
  for (const BlockKind block : {BlockKind::kSpatial, BlockKind::kTemporal}) {
    EXPECT_EQ(reused_steps(*policy, kOpenSora, {0, block, Module::kMlp}), expected);
    EXPECT_EQ(reused_steps(*policy, kOpenSora, {4, block, Module::kMlp}), expected);
    EXPECT_TRUE(reused_steps(*policy, kOpenSora, {5, block, Module::kMlp}).empty());
  }
}

TEST(PabPolicy, FindsTheNamedStepsOfOtherTimetables) {
  // Even times, 20 steps: 450 < t < 930 at steps 2 (900) to 10 (500); named: 4, 6, 8.
  const PolicyContext even{.steps = 20, .depth = 28, .tokens = 256, .temporal_blocks = false};
  const auto policy = make_policy({"pab", {}}, even);
  EXPECT_EQ(reused_steps(*policy, even, {0, BlockKind::kJoint, Module::kMlp}),
            (std::vector<int>{5, 7, 9, 10}));
  EXPECT_EQ(reused_steps(*policy, even, {0, BlockKind::kJoint, Module::kSelfAttention}),
            (std::vector<int>{3, 5, 7, 9}));
  EXPECT_TRUE(policy->warnings().empty());
}

TEST(PabPolicy, IsTakenUpOutsideOfTheWindowAndWhereAllRhythmsMeet) {
  // Inside of it at multiples of 2, 4 and 6, if no MLP is skipped: 12 and 24.
  const auto policy = make_policy({"pab", {}}, kOpenSora);
  std::vector<int> points;
  for (int step = 0; step < 30; ++step) {
    if (policy->is_refresh_point(step)) points.push_back(step);
  }
  EXPECT_EQ(points, (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 24, 26, 27, 28, 29}));
  // The MLPs of steps 14 to 19 are those of 13.
  const PolicySpec spec{"pab",
                        {{"spatial_interval", "1"},
                         {"temporal_interval", "1"},
                         {"cross_interval", "8"},
                         {"mlp_skip", "3"}}};
  const auto slow = make_policy(spec, kOpenSora);
  EXPECT_FALSE(slow->is_refresh_point(12));
  EXPECT_FALSE(slow->is_refresh_point(16));
  EXPECT_TRUE(slow->is_refresh_point(8));
}

TEST(PabPolicy, WarnsOfEveryRuleThatAppliesNowhere) {
  PolicyContext two = kOpenSora;
  two.steps = 2;  // t = 1000 and 829: step 1 alone is inside, and no MLP after it
  const auto mlp = make_policy({"pab", {}}, two)->warnings();
  ASSERT_EQ(mlp.size(), 1u);
  EXPECT_NE(mlp[0].find("mlp_skip applies at none of 2 steps"), std::string::npos);
  EXPECT_TRUE(make_policy({"pab", {{"mlp_skip", "0"}}}, two)->warnings().empty());

  const PolicySpec narrow{"pab", {{"window_low", "500"}, {"window_high", "500"}}};
  EXPECT_EQ(make_policy(narrow, kOpenSora)->warnings().size(), 4u);
}

TEST(PabPolicy, RefusesAWindowThatEndsBeforeItBegins) {
  const PolicySpec spec{"pab", {{"window_low", "500"}, {"window_high", "400"}}};
  try {
    make_policy(spec, kOpenSora);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("from 500 to 1000"), std::string::npos);
  }
  EXPECT_THROW(make_policy({"pab", {{"mlp_layers", "29"}}}, kOpenSora), Error);
  const PolicyContext dit{.steps = 50,
                          .depth = 28,
                          .tokens = 256,
                          .temporal_blocks = false,
                          .published = PublishedSettings::kDitDdim};
  EXPECT_THROW(make_policy({"pab", {{"cross_interval", "6"}}}, dit), Error);
  EXPECT_THROW(make_policy({"pab", {{"temporal_interval", "6"}}}, dit), Error);
}

}  // namespace
}  // namespace engine
