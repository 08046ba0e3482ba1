// Δ-DiT against tables worked out by hand from caching-policies.md.
#include <gtest/gtest.h>

#include "cache/cache_policy.h"

namespace engine {
namespace {

constexpr PolicyContext kOpenSora{.steps = 30, .depth = 28, .tokens = 23850};

TEST(DeltaDit, SkipsTheRearFirstAndThenTheFront) {
  const auto policy =
      make_policy({"delta_dit", {{"interval", "3"}, {"gate", "7"}, {"layers", "10"}}},
                  {.steps = 14, .depth = 28, .tokens = 9});
  std::vector<int> ran;
  for (int step = 0; step < 14; ++step) {
    const bool runs = policy->trunk(step) == TrunkDecision::kRun;
    if (runs) ran.push_back(step);
    EXPECT_EQ(policy->is_refresh_point(step), runs);
    EXPECT_EQ(policy->span(step).first, step < 7 ? 18 : 0) << step;
    EXPECT_EQ(policy->span(step).last, step < 7 ? 28 : 10) << step;
  }
  EXPECT_EQ(ran, (std::vector<int>{0, 3, 6, 7, 9, 12}));
  EXPECT_EQ(planned_decision(*policy, {.step = 4, .layer = 17}).decision, Decision::kRefresh);
  EXPECT_EQ(planned_decision(*policy, {.step = 4, .layer = 18}).decision, Decision::kReuse);
  EXPECT_EQ(planned_decision(*policy, {.step = 8, .layer = 9}).decision, Decision::kReuse);
  EXPECT_EQ(planned_decision(*policy, {.step = 8, .layer = 10}).decision, Decision::kRefresh);
  // Half of the steps and half of the layers, where nothing else is said.
  const auto half = make_policy({"delta_dit", {}}, kOpenSora);
  EXPECT_EQ(half->span(14).first, 14);
  EXPECT_EQ(half->span(15).last, 14);
}

}  // namespace
}  // namespace engine
