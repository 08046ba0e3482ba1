// SpeCa against tables worked out by hand from caching-policies.md.
#include <gtest/gtest.h>

#include <limits>

#include "cache/cache_policy.h"
#include "cache/run_steps_test_support.h"
#include "engine/error.h"

namespace engine {
namespace {

constexpr PolicyContext kTwelve{.steps = 12, .depth = 4, .tokens = 6};
constexpr ModuleSite kLast{.layer = 3, .block = BlockKind::kTemporal, .module = Module::kMlp};

struct Kinds {
  std::vector<int> full, verified;
};

// Runs the policy on errors that a test gives: by step, those that would be measured there.
Kinds kinds_of(const CachePolicy& policy, const std::vector<double>& errors) {
  const auto run = policy.begin();
  Kinds kinds;
  for (int step = 0; step < static_cast<int>(errors.size()); ++step) {
    EXPECT_EQ(run->decide_trunk(step, {}), TrunkDecision::kRun);
    const ModuleSite first{.step = step, .layer = 3, .block = BlockKind::kSpatial};
    ModuleSite last = kLast;
    last.step = step;
    const bool full = run->decide(first).decision == Decision::kRefresh;
    if (full) kinds.full.push_back(step);
    if (run->verifies()) kinds.verified.push_back(step);
    EXPECT_EQ(run->decide(first).tokens, full ? 6 : 0);
    EXPECT_EQ(run->decide(last).tokens, full || run->verifies() ? 6 : 0);
    EXPECT_FALSE(full && run->verifies());
    StepChanges changes;
    if (run->verifies()) {
      changes.verification = relative_change(errors[static_cast<size_t>(step)]);
    }
    run->end_step(step, changes);
  }
  return kinds;
}

TEST(Speca, AForecastThatIsTooFarOffMakesTheNextStepFull) {
  const auto policy = make_policy({"speca", {{"max", "3"}}}, kTwelve);
  // What is borne, .1 · .01^(s / 12): .0215 at step 4, .0147 at 5, .01 from 6 on.
  const Kinds kinds = kinds_of(*policy, {0, 0, 0, 9, .0215, .0001, 0, 9, .0101, 0, 9, .02});
  EXPECT_EQ(kinds.full, (std::vector<int>{0, 1, 2, 6, 9}));  // 6: after three forecasts
  EXPECT_EQ(kinds.verified, (std::vector<int>{4, 5, 8, 11}));
}

TEST(Speca, TheErrorThatIsBorneFallsDuringTheRun) {
  const auto policy =
      make_policy({"speca", {{"warm", "1"}, {"min", "1"}, {"max", "9"}, {"decay", "0.25"}}},
                  {.steps = 8, .depth = 4, .tokens = 6});
  // .1 · .25^(s / 8): .0841, .0707, .0595, .0500, .0420, .0354 at steps 1 to 6.
  const Kinds kinds = kinds_of(*policy, {0, .0840, .0708, 0, .0499, .0421, 0, .03});
  EXPECT_EQ(kinds.full, (std::vector<int>{0, 3, 6}));
  EXPECT_EQ(kinds.verified, (std::vector<int>{1, 2, 4, 5, 7}));
}

TEST(Speca, AnErrorThatIsNoNumberRefusesAForecast) {
  const auto policy = make_policy({"speca", {{"min", "1"}, {"tau", "10"}}}, kTwelve);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(kinds_of(*policy, {0, 0, 0, nan, 0, 0}).full, (std::vector<int>{0, 1, 2, 4}));
}

TEST(Speca, ExpectsHalfOfItsForecastsToHold) {
  const auto policy = make_policy({"speca", {{"warm", "1"}, {"min", "1"}, {"max", "2"}}}, kTwelve);
  const std::vector<double> full{1, 0, .5, .5, .25}, computed{1, 1, 1, 1, 1};
  for (int step = 0; step < 5; ++step) {
    ModuleSite last = kLast;
    last.step = step;
    const auto i = static_cast<size_t>(step);
    const ModuleSite first{.step = step, .layer = 0};
    EXPECT_EQ(policy->expected_share(first), full[i]) << step;
    EXPECT_EQ(policy->run_share(step), step == 1 ? 1 : full[i]) << step;
    EXPECT_EQ(policy->decide(first).tokens, step == 1 ? 0 : 6) << step;  // a forecast for certain
    EXPECT_EQ(policy->expected_share(last), computed[i]) << step;
  }
  // Steps 3 and 4 of the defaults: forecast for certain, and the second one verified.
  const auto defaults = make_policy({"speca", {}}, kTwelve);
  EXPECT_EQ(defaults->run_share(3), 1);
  EXPECT_EQ(defaults->run_share(5), 0.5);
  EXPECT_EQ(defaults->expected_share({.step = 3, .layer = 3, .block = BlockKind::kTemporal}), 0);
  EXPECT_EQ(defaults->expected_share({.step = 4, .layer = 3, .block = BlockKind::kTemporal}), 1);
}

TEST(Speca, KeepsWhatTaylorseerKeeps) {
  EXPECT_EQ(make_policy({"speca", {}}, kTwelve)->needs().orders, 1);
  PolicyContext dit = kTwelve;
  dit.published = PublishedSettings::kDitDdim;
  EXPECT_EQ(make_policy({"speca", {}}, dit)->needs().orders, 4);
  const CacheNeeds reuse = make_policy({"speca", {{"order", "0"}}}, kTwelve)->needs();
  EXPECT_TRUE(reuse.features && reuse.changes.verification && reuse.refreshes_apart());
}

TEST(Speca, RefusesBoundsThatCrossAndWarnsWhereNothingIsForecast) {
  EXPECT_THROW(make_policy({"speca", {{"min", "4"}, {"max", "3"}}}, kTwelve), Error);
  EXPECT_THROW(make_policy({"speca", {{"tau", "-1"}}}, kTwelve), Error);
  EXPECT_THROW(make_policy({"magcache+speca", {}}, kTwelve), Error);
  EXPECT_NO_THROW(make_policy({"speca", {{"min", "9"}}}, kTwelve));
  EXPECT_TRUE(make_policy({"speca", {}}, kTwelve)->warnings().empty());
  EXPECT_FALSE(make_policy({"speca", {{"warm", "12"}}}, kTwelve)->warnings().empty());
}

}  // namespace
}  // namespace engine
