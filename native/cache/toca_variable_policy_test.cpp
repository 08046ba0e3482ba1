// ToCa of PixArt-alpha and DiT, and FORA on them, against tables worked out by hand from
// caching-policies.md.
#include <gtest/gtest.h>

#include "cache/cache_policy.h"
#include "engine/error.h"

namespace engine {
namespace {

constexpr PolicyContext kPixart{.steps = 20,
                                .depth = 28,
                                .tokens = 256,
                                .temporal_blocks = false,
                                .published = PublishedSettings::kPixartAlpha};
constexpr PolicyContext kDdim{.steps = 50,
                              .depth = 28,
                              .tokens = 256,
                              .temporal_blocks = false,
                              .published = PublishedSettings::kDitDdim};
constexpr PolicyContext kDdpm{.steps = 250,
                              .depth = 28,
                              .tokens = 256,
                              .temporal_blocks = false,
                              .published = PublishedSettings::kDitDdpm};

// Steps at which a block is full.
std::vector<int> full_steps(const CachePolicy& policy, const PolicyContext& context, int layer) {
  std::vector<int> full;
  for (int step = 0; step < context.steps; ++step) {
    const ModuleDecision decision = policy.decide(
        {.step = step, .layer = layer, .block = BlockKind::kJoint, .module = Module::kMlp});
    if (decision.decision == Decision::kRefresh) full.push_back(step);
  }
  return full;
}

std::vector<int> refresh_points(const CachePolicy& policy, const PolicyContext& context) {
  std::vector<int> points;
  for (int step = 0; step < context.steps; ++step) {
    if (policy.is_refresh_point(step)) points.push_back(step);
  }
  return points;
}

// Steps written as DiT's code numbers them, downwards.
std::vector<int> counted_down(const PolicyContext& context, std::vector<int> indices) {
  for (int& index : indices) index = context.steps - 1 - index;
  return indices;
}

std::unique_ptr<CachePolicy> toca(const PolicyContext& context, const char* fidelity) {
  return make_policy({"toca", {{"fidelity", fidelity}}}, context);
}

int64_t tokens(const CachePolicy& policy, int step, int layer, Module module) {
  return policy.decide({.step = step, .layer = layer, .block = BlockKind::kJoint, .module = module})
      .tokens;
}

TEST(TocaVariable, ChangesItsIntervalWithinAStepOfPixartAsPublished) {
  const auto policy = toca(kPixart, "upstream");
  const std::vector<int> all{0, 6, 9, 12, 15, 18}, first{0, 4, 6, 9, 12, 15, 18};
  EXPECT_EQ(full_steps(*policy, kPixart, 0), first);  // step 4: block 0 only
  EXPECT_EQ(full_steps(*policy, kPixart, 1), all);
  EXPECT_EQ(full_steps(*policy, kPixart, 27), all);
  EXPECT_EQ(refresh_points(*policy, kPixart), all);
}

TEST(TocaVariable, ChangesItsIntervalBetweenStepsWhenCorrected) {
  const auto policy = toca(kPixart, "corrected");
  const std::vector<int> all{0, 4, 6, 9, 12, 15, 18};
  EXPECT_EQ(full_steps(*policy, kPixart, 0), all);
  EXPECT_EQ(full_steps(*policy, kPixart, 27), all);
  EXPECT_EQ(refresh_points(*policy, kPixart), all);
}

TEST(TocaVariable, CountsTheStepsOfDitDownwards) {
  const auto policy = toca(kDdim, "upstream");
  const std::vector<int> all =
      counted_down(kDdim, {49, 44, 40, 36, 30, 27, 24, 21, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0});
  EXPECT_EQ(full_steps(*policy, kDdim, 1), all);
  EXPECT_EQ(refresh_points(*policy, kDdim), all);
  const std::vector<int> first = counted_down(
      kDdim, {49, 45, 44, 40, 36, 32, 30, 27, 24, 21, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0});
  EXPECT_EQ(full_steps(*policy, kDdim, 0), first);  // 45 and 32: block 0 only
  EXPECT_EQ(full_steps(*toca(kDdim, "corrected"), kDdim, 27), first);
}

TEST(TocaVariable, ComputesSharesOfTokensByLayerStepAndModule) {
  const auto pixart = toca(kPixart, "upstream");
  // Step 1: 0.3 · 1.81 = 0.543; layer 0: · 1.6 = 0.8688; · 0.6 = 0.52128, · 1.6 = 1.39.
  EXPECT_EQ(tokens(*pixart, 1, 0, Module::kCrossAttention), 133);
  EXPECT_EQ(tokens(*pixart, 1, 0, Module::kMlp), 256);
  // Layer 27: · 0.4 = 0.2172; · 0.6 = 0.13032, · 1.6 = 0.34752.
  EXPECT_EQ(tokens(*pixart, 1, 27, Module::kCrossAttention), 33);
  EXPECT_EQ(tokens(*pixart, 1, 27, Module::kMlp), 88);
  EXPECT_EQ(tokens(*pixart, 1, 0, Module::kSelfAttention), 0);
  // Index 48: 1 + 2 - 4 · 48 / 50 is below zero. Index 1: 0.07 · 0.8 · 2.92 · 2.5 = 0.4088.
  const auto ddim = toca(kDdim, "upstream");
  EXPECT_EQ(tokens(*ddim, 1, 0, Module::kMlp), 0);
  EXPECT_EQ(tokens(*ddim, 48, 0, Module::kMlp), 104);
  // 0.07 · 1.2 · 2.92 · 2.5 = 0.6132 in layer 27.
  EXPECT_EQ(tokens(*ddim, 48, 27, Module::kMlp), 156);
  // Index 248: 0.07 · 1.8 · (1.4 - 0.8 · 248 / 250) · 2.5 = 0.191016.
  EXPECT_EQ(tokens(*toca(kDdpm, "upstream"), 1, 0, Module::kMlp), 48);
}

TEST(TocaVariable, RanksByWhatTheModelHas) {
  const ScoreSettings pixart = toca(kPixart, "corrected")->score_settings();
  EXPECT_EQ(pixart.score, TokenScore::kEntropy);
  EXPECT_EQ(pixart.spread_cell, 4);
  EXPECT_FLOAT_EQ(pixart.spread_factor, 1.4f);
  EXPECT_EQ(pixart.staleness_weight, 0.25f / 3.0f);
  const ScoreSettings dit = toca(kDdpm, "corrected")->score_settings();
  EXPECT_EQ(dit.score, TokenScore::kAttention);
  EXPECT_EQ(dit.spread_cell, 2);
  EXPECT_FLOAT_EQ(dit.spread_factor, 1.6f);
  EXPECT_EQ(dit.staleness_weight, 0.25f / 4.0f);
  EXPECT_EQ(make_policy({"toca", {{"spread_bonus", "0"}}}, kDdim)->score_settings().spread_cell, 0);
}

TEST(TocaVariable, KeepsItsIntervalWithoutFreshTokens) {
  const auto policy = make_policy({"toca", {{"fresh_ratio", "0"}}}, kPixart);
  EXPECT_EQ(full_steps(*policy, kPixart, 5), (std::vector<int>{0, 3, 6, 9, 12, 15, 18}));
}

TEST(TocaVariable, KeepsItsIntervalWhereAskedTo) {
  const PolicySpec spec{"toca", {{"variable_interval", "false"}, {"warm", "2"}}};
  EXPECT_EQ(full_steps(*make_policy(spec, kPixart), kPixart, 27),
            (std::vector<int>{0, 1, 3, 6, 9, 12, 15, 18}));
  const std::vector<int> ddim = full_steps(*make_policy(spec, kDdim), kDdim, 27);
  EXPECT_EQ((std::vector<int>{ddim[0], ddim[1], ddim[2], ddim.back()}),
            counted_down(kDdim, {49, 48, 45, 0}));
  EXPECT_EQ(ddim.size(), 18u);
}

TEST(TocaVariable, TakesAnyScoreOfTheModel) {
  for (const auto& [name, score] : {std::pair{"random", TokenScore::kRandom},
                                    {"value_norm", TokenScore::kValueNorm},
                                    {"norm", TokenScore::kNorm},
                                    {"similarity", TokenScore::kSimilarity},
                                    {"attention", TokenScore::kAttention}}) {
    for (const PolicyContext& context : {kPixart, kDdim, kDdpm}) {
      const auto policy = make_policy({"toca", {{"score", name}}}, context);
      EXPECT_EQ(policy->score_settings().score, score) << name;
    }
  }
}

TEST(TocaVariable, RefusesAScoreThatTheModelCannotGive) {
  EXPECT_THROW(make_policy({"toca", {{"score", "entropy"}}}, kDdim), Error);
  EXPECT_THROW(make_policy({"toca", {{"cross_factor", "1"}}}, kDdim), Error);
  EXPECT_THROW(make_policy({"toca", {{"cross_interval", "6"}}}, kPixart), Error);
}

TEST(Fora, ComputesTheFirstStepAlsoWhereStepsCountDown) {
  EXPECT_THROW(make_policy({"fora", {{"warm", "0"}}}, kDdim), Error);
  EXPECT_NO_THROW(make_policy({"fora", {{"warm", "0"}}}, kPixart));
}

TEST(Fora, ComputesThePublishedStepsOfImageModels) {
  const auto ddim = make_policy({"fora", {}}, kDdim);
  const std::vector<int> full = full_steps(*ddim, kDdim, 3);
  EXPECT_EQ(full.size(), 18u);
  EXPECT_EQ((std::vector<int>{full[0], full[1], full[2], full.back()}),
            counted_down(kDdim, {49, 48, 45, 0}));
  EXPECT_EQ(full_steps(*make_policy({"fora", {}}, kDdpm), kDdpm, 0).size(), 84u);
  EXPECT_EQ(full_steps(*make_policy({"fora", {}}, kPixart), kPixart, 0),
            (std::vector<int>{0, 3, 6, 9, 12, 15, 18}));
}

}  // namespace
}  // namespace engine
