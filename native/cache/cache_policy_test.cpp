// Decisions of every policy against tables worked out by hand from caching-policies.md.
#include "cache/cache_policy.h"

#include <gtest/gtest.h>

#include "engine/error.h"

namespace engine {
namespace {

// Open-Sora 1.2, 480p, 51 frames.
constexpr PolicyContext kOpenSora{.steps = 30, .depth = 28, .tokens = 23850};

std::vector<int> full_steps(const CachePolicy& policy, BlockKind block, Module module,
                            int steps = 30) {
  std::vector<int> full;
  for (int step = 0; step < steps; ++step) {
    const ModuleDecision decision =
        policy.decide({.step = step, .layer = 5, .block = block, .module = module});
    if (decision.decision == Decision::kRefresh) full.push_back(step);
  }
  return full;
}

std::vector<int> refresh_points(const CachePolicy& policy, int steps = 30) {
  std::vector<int> points;
  for (int step = 0; step < steps; ++step) {
    if (policy.is_refresh_point(step)) points.push_back(step);
  }
  return points;
}

std::string error_of(const PolicySpec& spec) {
  try {
    make_policy(spec, kOpenSora);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
  return "";
}

TEST(CachePolicy, NoneComputesEverythingAndKeepsNothing) {
  const auto policy = make_policy({}, kOpenSora);
  EXPECT_EQ(full_steps(*policy, BlockKind::kSpatial, Module::kMlp).size(), 30u);
  EXPECT_EQ(refresh_points(*policy).size(), 30u);
  EXPECT_FALSE(policy->needs().features);
  EXPECT_EQ(policy->sampler_steps(30), 30);
}

TEST(CachePolicy, StepsRunsTheGivenShareOfTheSteps) {
  const auto half = make_policy({"steps", {{"ratio", "0.5"}}}, kOpenSora);
  EXPECT_EQ(half->sampler_steps(30), 15);
  EXPECT_EQ(half->sampler_steps(1), 1);
  EXPECT_EQ(full_steps(*half, BlockKind::kTemporal, Module::kCrossAttention, 15).size(), 15u);
}

TEST(CachePolicy, ForaComputesSixteenOfThirtySteps) {
  const auto policy = make_policy({"fora", {}}, kOpenSora);
  const std::vector<int> expected{0, 1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28};
  for (const Module module : {Module::kSelfAttention, Module::kCrossAttention, Module::kMlp}) {
    EXPECT_EQ(full_steps(*policy, BlockKind::kSpatial, module), expected);
  }
  EXPECT_EQ(refresh_points(*policy), expected);
  EXPECT_EQ(policy->decide({.step = 3}).decision, Decision::kReuse);
}

TEST(CachePolicy, ForaMayLeaveCrossAttentionOut) {
  const auto policy = make_policy({"fora", {{"cross_attention", "false"}}}, kOpenSora);
  EXPECT_EQ(full_steps(*policy, BlockKind::kSpatial, Module::kCrossAttention).size(), 30u);
  EXPECT_EQ(full_steps(*policy, BlockKind::kSpatial, Module::kMlp).size(), 16u);
}

TEST(CachePolicy, TocaFollowsThePublishedTimetable) {
  const auto policy = make_policy({"toca", {}}, kOpenSora);
  const std::vector<int> threes{0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27};
  const std::vector<int> sixes{0, 1, 2, 6, 12, 18, 24};
  EXPECT_EQ(full_steps(*policy, BlockKind::kSpatial, Module::kSelfAttention), threes);
  EXPECT_EQ(full_steps(*policy, BlockKind::kTemporal, Module::kMlp), threes);
  EXPECT_EQ(full_steps(*policy, BlockKind::kTemporal, Module::kCrossAttention), sixes);
  EXPECT_EQ(refresh_points(*policy), sixes);
  EXPECT_EQ(policy->decide({.step = 4}).decision, Decision::kReuse);
}

TEST(CachePolicy, TocaStarvesCrossAttentionAndFeedsTheMlp) {
  const auto policy = make_policy({"toca", {}}, kOpenSora);
  const ModuleDecision mlp = policy->decide({.step = 4, .module = Module::kMlp});
  EXPECT_EQ(mlp.decision, Decision::kPartial);
  EXPECT_EQ(mlp.tokens, 3565);  // 0.1495 of 23850
  const ModuleDecision cross = policy->decide({.step = 4, .module = Module::kCrossAttention});
  EXPECT_EQ(cross.decision, Decision::kPartial);
  EXPECT_EQ(cross.tokens, 0);
}

TEST(CachePolicy, TocaSchedulesFollowTheirFormulas) {
  const PolicyContext context{.steps = 10, .depth = 3, .tokens = 1000};
  const auto tokens = [&](const char* schedule, int step, int layer) {
    const auto policy = make_policy(
        {"toca", {{"schedule", schedule}, {"fresh_ratio", "0.2"}, {"warm", "0"}}}, context);
    return policy->decide({.step = step, .layer = layer, .module = Module::kMlp}).tokens;
  };
  EXPECT_EQ(tokens("constant", 4, 0), 200);
  EXPECT_EQ(tokens("linear", 4, 0), 236);     // 0.2 (1.9 - 0.72)
  EXPECT_EQ(tokens("exp", 5, 0), 189);        // 0.2 · 0.9^0.5 = 0.18974
  EXPECT_EQ(tokens("layerwise", 4, 2), 353);  // 0.2 (1.9 - 3.6 / 27) = 0.35333
}

TEST(CachePolicy, TocaMultipliesTheFactorsOfLayerStepAndModule) {
  const PolicyContext context{.steps = 10, .depth = 28, .tokens = 1000};
  const PolicySpec spec{"toca",
                        {{"schedule", "constant"},
                         {"fresh_ratio", "0.2"},
                         {"layer_slope", "0.6"},
                         {"step_slope", "-0.5"},
                         {"cross_factor", "0.5"},
                         {"mlp_factor", "2"}}};
  const auto policy = make_policy(spec, context);
  const auto tokens = [&](Module module, int layer) {
    return policy->decide({.step = 4, .layer = layer, .module = module}).tokens;
  };
  // Step 4 of 10: 1 - 0.5 + 0.4 = 0.9. Layer 0: 1.6, layer 27: 0.4.
  EXPECT_EQ(tokens(Module::kMlp, 0), 576);             // 0.2 · 1.6 · 0.9 · 2
  EXPECT_EQ(tokens(Module::kMlp, 27), 144);            // 0.2 · 0.4 · 0.9 · 2
  EXPECT_EQ(tokens(Module::kCrossAttention, 27), 36);  // 0.2 · 0.4 · 0.9 · 0.5
}

TEST(CachePolicy, TocaMayFeedCrossAttentionUnderItsOwnSchedule) {
  const auto policy = make_policy({"toca", {{"cross_factor", "0.5"}}}, kOpenSora);
  EXPECT_EQ(policy->decide({.step = 4, .module = Module::kCrossAttention}).tokens, 1192);
  EXPECT_EQ(policy->decide({.step = 4, .module = Module::kMlp}).tokens, 3565);
}

TEST(CachePolicy, TocaMayVaryItsIntervalOnVideo) {
  // At full step s the next interval is 3 / (0.8 + 0.4 s/30), rounded: 4 up to step 4, then 3.
  const std::vector<int> expected{0, 1, 2, 4, 8, 9, 12, 15, 18, 21, 24, 27};
  for (const char* const fidelity : {"corrected", "upstream"}) {
    const auto policy =
        make_policy({"toca", {{"variable_interval", "true"}, {"fidelity", fidelity}}}, kOpenSora);
    EXPECT_EQ(full_steps(*policy, BlockKind::kTemporal, Module::kCrossAttention), expected);
    EXPECT_EQ(refresh_points(*policy), expected);
    EXPECT_EQ(policy->decide({.step = 3, .module = Module::kMlp}).tokens, 3565);
  }
  EXPECT_NE(
      error_of({"toca", {{"variable_interval", "true"}, {"cross_interval", "6"}}}).find("known:"),
      std::string::npos);
}

TEST(CachePolicy, TocaSpreadsItsChoiceWhereAskedTo) {
  EXPECT_EQ(make_policy({"toca", {}}, kOpenSora)->score_settings().spread_cell, 0);
  const ScoreSettings spread =
      make_policy({"toca", {{"spread_bonus", "0.3"}}}, kOpenSora)->score_settings();
  EXPECT_EQ(spread.spread_cell, 2);
  EXPECT_FLOAT_EQ(spread.spread_factor, 1.3f);
}

TEST(CachePolicy, TocaTakesAnIntervalForEachBranch) {
  const auto policy = make_policy({"toca",
                                   {{"spatial_interval", "2"},
                                    {"temporal_interval", "4"},
                                    {"cross_interval", "3"},
                                    {"mlp_interval", "5"}}},
                                  {.steps = 14, .depth = 2, .tokens = 60});
  const auto steps = [&](BlockKind block, Module module) {
    return full_steps(*policy, block, module, 14);
  };
  EXPECT_EQ(steps(BlockKind::kSpatial, Module::kSelfAttention),
            (std::vector<int>{0, 1, 2, 4, 6, 8, 10, 12}));
  EXPECT_EQ(steps(BlockKind::kTemporal, Module::kSelfAttention),
            (std::vector<int>{0, 1, 2, 4, 8, 12}));
  EXPECT_EQ(steps(BlockKind::kTemporal, Module::kCrossAttention),
            (std::vector<int>{0, 1, 2, 3, 6, 9, 12}));
  EXPECT_EQ(steps(BlockKind::kSpatial, Module::kMlp), (std::vector<int>{0, 1, 2, 5, 10}));
  EXPECT_EQ(refresh_points(*policy, 14), (std::vector<int>{0, 1, 2}));
}

TEST(CachePolicy, TocaDividesTheStalenessByItsPeriodInFloat) {
  const auto policy =
      make_policy({"toca", {{"interval", "4"}, {"staleness_weight", "0.4"}}}, kOpenSora);
  EXPECT_EQ(policy->score_settings().staleness_weight, 0.4f / 4.0f);
  EXPECT_FALSE(policy->upstream_fidelity());
}

TEST(CachePolicy, AnUnknownPolicyIsAnsweredWithTheKnownOnes) {
  EXPECT_NE(error_of({"tocca", {}}).find("none steps fora toca"), std::string::npos);
}

TEST(CachePolicy, AnUnknownOptionIsAnsweredWithTheKnownOnes) {
  const std::string message = error_of({"fora", {{"intervall", "2"}}});
  EXPECT_NE(message.find("\"intervall\""), std::string::npos);
  EXPECT_NE(message.find("interval (an integer from 1 to 1000)"), std::string::npos);
  EXPECT_NE(error_of({"none", {{"interval", "2"}}}).find("takes none"), std::string::npos);
}

TEST(CachePolicy, AValueOutOfBoundsIsRefusedWithTheBounds) {
  EXPECT_NE(error_of({"toca", {{"interval", "0"}}}).find("from 1 to 1000"), std::string::npos);
  EXPECT_NE(error_of({"toca", {{"fresh_ratio", "1.5"}}}).find("from 0 to 1"), std::string::npos);
  EXPECT_NE(error_of({"toca", {{"fresh_ratio", "nan"}}}).find("from 0 to 1"), std::string::npos);
  EXPECT_NE(error_of({"toca", {{"fresh_ratio", "0.1x"}}}).find("from 0 to 1"), std::string::npos);
  EXPECT_NE(error_of({"toca", {{"score", "mean"}}})
                .find("entropy norm similarity attention value_norm random"),
            std::string::npos);
  EXPECT_NE(error_of({"steps", {{"ratio", ""}}}).find("from 0.001 to 1"), std::string::npos);
  EXPECT_NE(error_of({"fora", {{"cross_attention", "yes"}}}).find("false true"), std::string::npos);
}

}  // namespace
}  // namespace engine
