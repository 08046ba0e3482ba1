// EasyCache against tables worked out by hand from caching-policies.md.
#include <gtest/gtest.h>

#include "cache/cache_policy.h"

namespace engine {
namespace {

constexpr PolicyContext kOpenSora{.steps = 30, .depth = 28, .tokens = 23850};

TEST(EasyCache, SkipsWhileThePredictedChangesAddUpToLittle) {
  const auto policy = make_policy({"easycache", {{"threshold", "0.1"}, {"warm", "2"}}},
                                  {.steps = 9, .depth = 2, .tokens = 4});
  const auto run = policy->begin();
  // Runs a step whose input changes by `input` and whose output, of magnitude 100, by `output`.
  const auto runs = [&](int step, double input, double output) {
    StepChanges changes;
    if (step > 0) changes.input = Change{.difference = input, .reference = 50};
    const bool ran = run->decide_trunk(step, changes) == TrunkDecision::kRun;
    if (step > 0) changes.output = Change{.difference = output, .reference = 100};
    run->end_step(step, changes);
    return ran;
  };
  EXPECT_TRUE(runs(0, 0, 0));
  EXPECT_TRUE(runs(1, 2, 4));  // ratio 2
  EXPECT_FALSE(
      runs(2, 2, 9));  // 2 · 2 / 100 = .04; a step that is skipped says nothing of the ratio
  EXPECT_FALSE(runs(3, 2, 2));  // .08
  EXPECT_TRUE(runs(4, 2, 8));   // .12; ratio 4
  EXPECT_FALSE(runs(5, 2, 2));  // .08
  EXPECT_TRUE(runs(6, 2, 2));   // .16; ratio 1
  EXPECT_FALSE(runs(7, 2, 2));  // .02
  EXPECT_TRUE(runs(8, 0, 0));   // the last step
  EXPECT_FALSE(
      make_policy({"easycache", {}}, {.steps = 6, .depth = 2, .tokens = 4})->warnings().empty());
  EXPECT_TRUE(make_policy({"easycache", {}}, kOpenSora)->warnings().empty());
}

}  // namespace
}  // namespace engine
