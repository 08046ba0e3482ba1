// Explicit schedules: what a user writes is what is done, and what cannot be meant is refused.
#include <gtest/gtest.h>

#include "cache/cache_policy.h"
#include "cache/index_list.h"
#include "engine/error.h"

namespace engine {
namespace {

constexpr PolicyContext kTen{.steps = 10, .depth = 4, .tokens = 60};

std::string refusal(const PolicySpec& spec, const PolicyContext& context = kTen) {
  try {
    make_policy(spec, context);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
  return "";
}

std::vector<int> refresh_points(const CachePolicy& policy) {
  std::vector<int> points;
  for (int step = 0; step < 10; ++step) {
    if (policy.is_refresh_point(step)) points.push_back(step);
  }
  return points;
}

TEST(IndexList, ReadsNumbersAndRanges) {
  EXPECT_EQ(parse_index_list("0,2-4,3", 6),
            (std::vector<bool>{true, false, true, true, true, false}));
  for (const char* const text :
       {"", "6", "0,", ",0", "3-2", "-1", "1-", "a", "1 ", "0-6", "1--2"}) {
    EXPECT_FALSE(parse_index_list(text, 6)) << text;
  }
}

TEST(MaskPolicy, RunsTheTrunkAtTheStepsGiven) {
  const auto policy = make_policy({"mask", {{"compute", "0,1,5-7"}}}, kTen);
  for (int step = 0; step < 10; ++step) {
    const bool runs = step <= 1 || (step >= 5 && step <= 7);
    EXPECT_EQ(policy->trunk(step) == TrunkDecision::kRun, runs) << step;
  }
  EXPECT_EQ(refresh_points(*policy), (std::vector<int>{0, 1, 5, 6, 7}));
  EXPECT_TRUE(policy->warnings().empty());
  EXPECT_EQ(make_policy({"mask", {}}, kTen)->trunk(9), TrunkDecision::kRun);
}

TEST(MaskPolicy, RefusesWhatItCannotKeepTo) {
  EXPECT_NE(refusal({"mask", {{"compute", "1-9"}}}).find("steps of 0-9, 0 among them"),
            std::string::npos);
  EXPECT_NE(refusal({"mask", {{"compute", "0-10"}}}).find("0-10"), std::string::npos);
  const auto policy = make_policy({"mask", {{"compute", "0"}, {"for_steps", "30"}}}, kTen);
  ASSERT_EQ(policy->warnings().size(), 1u);
  EXPECT_NE(policy->warnings()[0].find("for 30 steps, not for 10"), std::string::npos);
}

TEST(ModuleMaskPolicy, RefreshesWhatTheLastRuleThatFitsSays) {
  const auto policy =
      make_policy({"module_mask", {{"refresh", "all=0,5;mlp=0-9;spatial.mlp@0,2-3=0,2,5"}}}, kTen);
  const auto refreshed = [&](int step, int layer, BlockKind block, Module module) {
    return policy->decide({step, layer, block, module}).decision == Decision::kRefresh;
  };
  using enum BlockKind;
  EXPECT_TRUE(refreshed(5, 1, kTemporal, Module::kSelfAttention));
  EXPECT_FALSE(refreshed(4, 1, kTemporal, Module::kCrossAttention));
  EXPECT_TRUE(refreshed(4, 0, kTemporal, Module::kMlp));
  EXPECT_TRUE(refreshed(4, 1, kSpatial, Module::kMlp));
  EXPECT_FALSE(refreshed(4, 2, kSpatial, Module::kMlp));
  EXPECT_TRUE(refreshed(2, 3, kSpatial, Module::kMlp));
  EXPECT_EQ(refresh_points(*policy), (std::vector<int>{0, 5}));
  EXPECT_EQ(refresh_points(*make_policy({"module_mask", {}}, kTen)).size(), 10u);
}

TEST(ModuleMaskPolicy, NamesTheRuleThatItCannotRead) {
  const auto refused = [](const char* rules) {
    return refusal({"module_mask", {{"refresh", rules}}});
  };
  EXPECT_NE(refused("mlp=0;mlp").find("rule \"mlp\" has no"), std::string::npos);
  EXPECT_NE(refused("mlp=1-9").find("leaves out step 0"), std::string::npos);
  EXPECT_NE(refused("mlp=0-30").find("steps of 0-9"), std::string::npos);
  EXPECT_NE(refused("mlp@0-4=0").find("layers of 0-3"), std::string::npos);
  EXPECT_NE(refused("joint.mlp=0").find("known are spatial temporal"), std::string::npos);
  EXPECT_NE(refused("mpl=0").find("known are self_attention cross_attention mlp"),
            std::string::npos);
}

TEST(ModuleMaskPolicy, RefusesAModuleThatTheModelHasNot) {
  PolicyContext dit = kTen;
  dit.temporal_blocks = dit.cross_attention = false;
  EXPECT_NE(refusal({"module_mask", {{"refresh", "mlp=0;cross_attention=0"}}}, dit)
                .find("rule \"cross_attention=0\" names \"cross_attention\", known are "
                      "self_attention mlp;"),
            std::string::npos);
  EXPECT_EQ(refusal({"module_mask", {{"refresh", "all=0;joint.mlp@0-1=0-9"}}}, dit), "");
}

TEST(MaskPolicy, GoesTogetherWithOneForModules) {
  const auto policy =
      make_policy({"mask+module_mask", {{"compute", "0,1,4,5,8"}, {"refresh", "all=0,3,5"}}}, kTen);
  // The refresh of step 3 falls to step 4.
  EXPECT_EQ(policy->decide({.step = 4}).decision, Decision::kRefresh);
  EXPECT_EQ(policy->decide({.step = 8}).decision, Decision::kReuse);
  EXPECT_EQ(refresh_points(*policy), (std::vector<int>{0, 4, 5}));
}

}  // namespace
}  // namespace engine
