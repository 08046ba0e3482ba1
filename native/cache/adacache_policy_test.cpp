// AdaCache against tables worked out by hand from caching-policies.md.
#include <gtest/gtest.h>

#include "cache/cache_policy.h"
#include "cache/run_steps_test_support.h"

namespace engine {
namespace {

constexpr PolicyContext kOpenSora{.steps = 30, .depth = 28, .tokens = 23850};

TEST(AdaCache, WaitsAsManyStepsAsTheCodebookSays) {
  const auto policy = make_policy({"adacache", {}}, kOpenSora);
  // Step 1: .5 waits 1 step; 2: .10 waits 5; 7: .30 / 5 = .06 waits 6; 13: .36 / 6 = .06 likewise;
  // 19: 2.1 / 6 = .35 waits 2; 21: .9 / 2 = .45 waits 1; 22: .39 waits 2; 24: .1 / 2 = .05 would
  // wait 6, but 28 and 29 always run.
  const std::vector<double> changes{0, 0.5, 0.10, 0, 0,   0, 0,   0.30, 0, 0,   0, 0, 0, 0.36, 0,
                                    0, 0,   0,    0, 2.1, 0, 0.9, 0.39, 0, 0.1, 0, 0, 0, 0,    0};
  const auto measure = [&](int step) {
    StepChanges seen;
    if (step > 0) seen.module = relative_change(changes[static_cast<size_t>(step)]);
    return seen;
  };
  EXPECT_EQ(run_steps(*policy, 30, measure),
            (std::vector<int>{0, 1, 2, 7, 13, 19, 21, 22, 24, 28, 29}));
}

TEST(AdaCache, LooksAtTheTemporalAttentionInTheMiddle) {
  const auto policy = make_policy({"adacache", {}}, kOpenSora);
  const CacheNeeds needs = policy->needs();
  EXPECT_EQ(needs.trunk, TrunkKept::kResidual);
  ASSERT_TRUE(needs.changes.module);
  EXPECT_EQ(needs.changes.module->layer, 13);
  EXPECT_EQ(needs.changes.module->block, BlockKind::kTemporal);
  EXPECT_EQ(needs.changes.module->module, Module::kSelfAttention);
  EXPECT_TRUE(policy->warnings().empty());
  EXPECT_FALSE(make_policy({"adacache", {{"codebook", "long"}}}, kOpenSora)->warnings().empty());
}

}  // namespace
}  // namespace engine
