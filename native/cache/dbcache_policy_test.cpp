// First-block caching and dbcache against tables worked out by hand from caching-policies.md.
#include <gtest/gtest.h>

#include "cache/cache_policy.h"
#include "cache/run_steps_test_support.h"
#include "engine/error.h"

namespace engine {
namespace {

constexpr PolicyContext kOpenSora{.steps = 30, .depth = 28, .tokens = 23850};

TEST(DbCache, SkipsWhileTheFirstLayersAddTheSame) {
  const auto policy = make_policy({"fbcache", {{"threshold", "0.1"}}}, kOpenSora);
  EXPECT_EQ(policy->span(5).first, 1);
  EXPECT_EQ(policy->span(5).last, 28);
  const std::vector<double> changes{0, 0.2, 0.05, 0.09, 0.1, 0.02, 0.02, 0.5};
  const auto measure = [&](int step) {
    StepChanges seen;
    if (step > 0) seen.front = relative_change(changes[static_cast<size_t>(step)]);
    return seen;
  };
  EXPECT_EQ(run_steps(*policy, 8, measure), (std::vector<int>{0, 1, 4, 7}));
}

TEST(DbCache, RunsAfterSoManySkipsAndWhileItIsWarm) {
  const auto policy = make_policy(
      {"dbcache", {{"preset", "slow"}, {"back_layers", "2"}, {"max_skips", "2"}}}, kOpenSora);
  EXPECT_EQ(policy->span(5).first, 4);
  EXPECT_EQ(policy->span(5).last, 26);
  const auto same = [](int) {
    StepChanges seen;
    seen.front = relative_change(0.01);
    return seen;
  };
  EXPECT_EQ(run_steps(*policy, 12, same), (std::vector<int>{0, 1, 2, 3, 6, 9}));
}

TEST(DbCache, IsAsPublishedInItsPresets) {
  const auto medium = make_policy({"dbcache", {}}, kOpenSora);
  EXPECT_EQ(medium->span(0).first, 1);
  EXPECT_EQ(medium->run_share(3), 1);
  EXPECT_LT(medium->run_share(4), 1);
  EXPECT_EQ(make_policy({"dbcache", {{"preset", "fast"}}}, kOpenSora)->run_share(7), 1);
  EXPECT_NE(medium->fingerprint(),
            make_policy({"dbcache", {{"threshold", "0.2400001"}}}, kOpenSora)->fingerprint());
  EXPECT_THROW(make_policy({"dbcache", {{"back_layers", "27"}}}, kOpenSora), Error);
  EXPECT_THROW(make_policy({"fbcache", {}}, {.steps = 4, .depth = 1, .tokens = 9}), Error);
  // A model of two layers keeps one to skip.
  EXPECT_EQ(make_policy({"dbcache", {{"preset", "slow"}}}, {.steps = 4, .depth = 2, .tokens = 9})
                ->span(1)
                .first,
            1);
}

TEST(DbCache, BeginsAfreshWhereverItRuns) {
  const auto policy = make_policy({"fbcache", {}}, kOpenSora);
  const auto run = policy->begin();
  StepChanges same;
  same.front = relative_change(0.01);
  // An attempt that is resumed at step 7 has nothing to compare with.
  EXPECT_EQ(run->decide_trunk(7, {}), TrunkDecision::kRun);
  EXPECT_TRUE(run->is_refresh_point(7));
  EXPECT_EQ(run->decide_trunk(8, same), TrunkDecision::kReuse);
  EXPECT_FALSE(run->is_refresh_point(8));
}

}  // namespace
}  // namespace engine
