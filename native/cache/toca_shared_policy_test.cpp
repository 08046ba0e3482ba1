// The timetable of toca-shared, and the choice that it makes, worked out by hand.
#include <gtest/gtest.h>

#include <cstring>

#include "cache/cache_policy.h"
#include "cache/shared_selector.h"
#include "engine/error.h"

namespace engine {
namespace {

constexpr PolicyContext kOpenSora{.steps = 30, .depth = 28, .tokens = 23850};

TEST(TocaShared, ComputesAsManyTokensAsTocaAtTheSameSteps) {
  const auto shared = make_policy({"toca-shared", {}}, kOpenSora);
  const auto toca = make_policy({"toca", {}}, kOpenSora);
  int choices = 0;
  for (int step = 0; step < 30; ++step) {
    for (const Module module : {Module::kSelfAttention, Module::kCrossAttention, Module::kMlp}) {
      const ModuleSite site{.step = step, .layer = 7, .module = module};
      EXPECT_EQ(shared->decide(site).tokens, toca->decide(site).tokens) << step;
    }
    EXPECT_EQ(shared->is_refresh_point(step), toca->is_refresh_point(step)) << step;
    const std::optional<int64_t> tokens = shared->shared_tokens(step);
    EXPECT_EQ(tokens.has_value(), step > 2 && step % 3 != 0) << step;
    if (!tokens) continue;
    EXPECT_EQ(*tokens, 3565);
    ++choices;
  }
  EXPECT_EQ(choices, 18);
}

TEST(TocaShared, KeepsTheTrunkOnlyWhereItFoldsIt) {
  EXPECT_EQ(make_policy({"toca-shared", {}}, kOpenSora)->needs().trunk, TrunkKept::kNothing);
  const auto trunk = make_policy({"toca-shared", {{"fold", "trunk"}}}, kOpenSora);
  EXPECT_EQ(trunk->needs().trunk, TrunkKept::kResidual);
  EXPECT_NE(trunk->fingerprint(), make_policy({"toca-shared", {}}, kOpenSora)->fingerprint());
}

TEST(TocaShared, RefusesTextBetweenFullStepsAndModelsWithoutText) {
  try {
    make_policy({"toca-shared", {{"cross_interval", "5"}}}, kOpenSora);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("cross_interval=5 must be a multiple of interval=3"),
              std::string::npos);
  }
  PolicyContext dit = kOpenSora;
  dit.published = PublishedSettings::kDitDdim;
  EXPECT_THROW(make_policy({"toca-shared", {}}, dit), Error);
}

TEST(SharedSelector, TakesTheBestOfTheMeanAndThenTheNext) {
  const auto backend = make_plain_backend();
  const FeatureStoreShape shape{.depth = 2,
                                .temporal_blocks = false,
                                .rows = 2,
                                .tokens = 4,
                                .channels = 1,
                                .needs = {.features = true, .scores = true}};
  FeatureStore store(*backend, shape);
  const auto rank = [&](int layer, const float(&entropies)[4]) {
    float both[8];
    for (size_t i = 0; i < 8; ++i) both[i] = entropies[i % 4];
    std::memcpy(store.half_entropy(layer, BlockKind::kJoint).data(), both, sizeof(both));
    store.reset_counters(layer, BlockKind::kJoint, Module::kMlp);
  };
  // Block 0 prefers token 0, block 1 token 3; token 2 is second to both. 1 + H, normalised:
  // (3, 1, 2.6, 1) / 4.214 and (1, 1.4, 2.6, 3) / 4.329; the mean is (.471, .280, .609, .465).
  rank(0, {1.0f, 0.0f, 0.8f, 0.0f});
  rank(1, {0.0f, 0.2f, 0.8f, 1.0f});
  const Tensor scores = backend->allocate({2, 4}, DType::kF32);
  const Tensor indices = backend->allocate({2, 4}, DType::kI32);
  const std::vector<ModulePlace> blocks{{.layer = 0, .block = BlockKind::kJoint},
                                        {.layer = 1, .block = BlockKind::kJoint}};
  SharedSelector selector(*backend, store, {.staleness_weight = 1.0f}, blocks, scores, indices);
  const auto choose = [&](int64_t k) {
    const ConstTensorView chosen = selector.select(k);
    return std::vector<int32_t>(chosen.i32(), chosen.i32() + k);
  };
  EXPECT_EQ(choose(2), (std::vector<int32_t>{0, 2}));
  EXPECT_NEAR(scores.view().f32()[0], 0.471f, 1e-3f);
  EXPECT_NEAR(scores.view().f32()[1], 0.280f, 1e-3f);
  EXPECT_NEAR(scores.view().f32()[2], 0.609f, 1e-3f);
  // The two that were passed over follow.
  EXPECT_EQ(choose(2), (std::vector<int32_t>{1, 3}));
  // A new ranking is asked for only when it may have changed.
  rank(0, {0.0f, 1.0f, 0.0f, 0.0f});
  EXPECT_EQ(choose(1), (std::vector<int32_t>{2}));
  rank(0, {0.0f, 1.0f, 0.0f, 0.0f});
  selector.forget();
  EXPECT_EQ(choose(1), (std::vector<int32_t>{1}));
  EXPECT_TRUE(selector.select(0).empty());
}

}  // namespace
}  // namespace engine
