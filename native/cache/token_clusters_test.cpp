// Groups of tokens on tables worked out by hand: one layer, one channel unless said otherwise.
#include "cache/token_clusters.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "cache/token_selector.h"

namespace engine {
namespace {

constexpr ModuleSite kSite{.layer = 0, .block = BlockKind::kJoint, .module = Module::kMlp};

FeatureStoreShape shape_of(int64_t rows, int64_t tokens, const ClusterSettings& clusters) {
  return {.depth = 1,
          .temporal_blocks = false,
          .cross_attention = false,
          .rows = rows,
          .tokens = tokens,
          .channels = 1,
          .needs = {.features = true, .scores = true, .clusters = clusters},
          .score = TokenScore::kRandom};
}

class TokenClustersTest : public testing::Test {
 protected:
  Tensor tensor(const Shape& shape, const std::vector<float>& values) {
    Tensor made(shape, DType::kF32);
    std::copy(values.begin(), values.end(), made.f32());
    return made;
  }
  std::vector<int32_t> ints(ConstTensorView view) {
    return {view.i32(), view.i32() + view.elements()};
  }

  std::unique_ptr<Backend> backend_ = make_plain_backend();
};

TEST_F(TokenClustersTest, FollowTheValuesFromTheGroupsBefore) {
  TokenClusters clusters(*backend_, shape_of(1, 6, {.count = 2, .iterations = 2}), 1);
  // From tokens 0 and 3, 1 and 8: {1 4} {9 8 9 5}. From their means, 2.5 and 7.75: 5 goes over.
  clusters.refresh(kSite, tensor({1, 6, 1}, {1, 4, 9, 8, 9, 5}));
  EXPECT_EQ(ints(clusters.of(kSite)), (std::vector<int32_t>{0, 0, 1, 1, 1, 0}));
  // From the means of those, 10 / 3 and 26 / 3; and from tokens 0 and 3 again.
  clusters.refresh(kSite, tensor({1, 6, 1}, {9, 3, 3, 3, 9, 9}));
  EXPECT_EQ(ints(clusters.of(kSite)), (std::vector<int32_t>{1, 0, 0, 0, 1, 1}));
  clusters.begin_clip();
  clusters.refresh(kSite, tensor({1, 6, 1}, {9, 3, 3, 3, 9, 9}));
  EXPECT_EQ(ints(clusters.of(kSite)), (std::vector<int32_t>{0, 1, 1, 1, 0, 0}));
}

TEST_F(TokenClustersTest, AreTheSameForBothHalvesOfAClip) {
  TokenClusters clusters(*backend_, shape_of(4, 4, {.count = 2, .iterations = 1}), 2);
  // From tokens 0 and 2. Distances of clip 0 add up to (0, 9) (3, 6) (9, 0) (9, 4): token 3 goes
  // with token 2, though its second half alone is as near to token 0. Clip 1 goes by its first
  // half.
  const Tensor output =
      tensor({4, 4, 1}, {0, 2, 5, 7, /**/ 0, 9, 9, 9, /**/ 0, 1, 4, 2, /**/ 0, 0, 0, 0});
  clusters.refresh(kSite, output);
  EXPECT_EQ(ints(clusters.of(kSite)),
            (std::vector<int32_t>{0, 0, 1, 1, /**/ 0, 1, 1, 1, /**/ 0, 0, 1, 1, /**/ 0, 1, 1, 1}));
}

TEST_F(TokenClustersTest, EveryGroupGivesOneTokenAndEmptyOnesLeaveTheirPlace) {
  const FeatureStoreShape shape = shape_of(2, 6, {.count = 3, .iterations = 1});
  TokenClusters clusters(*backend_, shape, 1);
  FeatureStore store(*backend_, shape);
  Tensor scores({2, 6}, DType::kF32), indices({2, 6}, DType::kI32);
  TokenSelector selector(*backend_, store, {.score = TokenScore::kRandom},
                         {.rows = 2, .frames = 1, .height = 2, .width = 3}, scores, indices);
  const std::vector<uint64_t> seeds{7};
  selector.seed(seeds);
  store.reset_counters(0, BlockKind::kJoint, Module::kMlp);
  // Groups {0, 1}, {2, 3}, {4, 5}; then {0, 1, 2}, none and {3, 4, 5}.
  for (const std::vector<float>& half :
       {std::vector<float>{1, 1, 5, 5, 9, 9}, std::vector<float>{1, 1, 1, 9, 9, 9}}) {
    std::vector<float> both = half;
    both.insert(both.end(), half.begin(), half.end());
    clusters.refresh(kSite, tensor({2, 6, 1}, both));
    const std::vector<int32_t> groups = ints(clusters.of(kSite));
    const std::set<int32_t> filled(groups.begin(), groups.end());
    std::set<std::vector<int32_t>> choices;
    for (int step = 1; step <= 20; ++step) {
      ModuleSite site = kSite;
      site.step = step;
      const std::vector<int32_t> chosen = ints(selector.select(site, 3, {}, clusters.of(kSite)));
      ASSERT_EQ(chosen.size(), 6u);
      EXPECT_TRUE(std::equal(chosen.begin(), chosen.begin() + 3, chosen.begin() + 3));
      std::set<int32_t> tokens(chosen.begin(), chosen.begin() + 3), hit;
      EXPECT_EQ(tokens.size(), 3u);
      for (const int32_t token : tokens) hit.insert(groups[static_cast<size_t>(token)]);
      EXPECT_EQ(hit, filled);
      choices.emplace(chosen.begin(), chosen.begin() + 3);
    }
    EXPECT_GT(choices.size(), 4u);  // of eight, or of eighteen
  }
}

TEST_F(TokenClustersTest, BlendWhatWasComputedIntoTheForecastsOfItsGroup) {
  TokenClusters clusters(*backend_, shape_of(1, 5, {.count = 2, .iterations = 1, .weight = 0.25f}),
                         1);
  clusters.refresh(kSite, tensor({1, 5, 1}, {1, 1, 9, 9, 1}));  // from tokens 0 and 2
  Tensor chosen({1, 2}, DType::kI32);
  chosen.view().i32()[0] = 1;
  chosen.view().i32()[1] = 3;
  Tensor forecasts = tensor({1, 5, 1}, {4, 8, 12, 16, 20});
  clusters.blend(kSite, chosen, tensor({1, 2, 1}, {100, 200}), forecasts);
  const std::vector<float> found(forecasts.f32(), forecasts.f32() + 5);
  EXPECT_EQ(found, (std::vector<float>{28, 100, 59, 200, 40}));
  // Both in one group: its first one stands for it, and the other group has its forecasts.
  chosen.view().i32()[1] = 4;
  forecasts = tensor({1, 5, 1}, {4, 8, 12, 16, 20});
  clusters.blend(kSite, chosen, tensor({1, 2, 1}, {100, 200}), forecasts);
  const std::vector<float> others(forecasts.f32(), forecasts.f32() + 5);
  EXPECT_EQ(others, (std::vector<float>{28, 100, 12, 16, 200}));
}

TEST_F(TokenClustersTest, OneTokenIsAGroup) {
  TokenClusters clusters(*backend_, shape_of(2, 1, {.count = 1, .iterations = 3}), 1);
  clusters.refresh(kSite, tensor({2, 1, 1}, {3, 5}));
  EXPECT_EQ(ints(clusters.of(kSite)), (std::vector<int32_t>{0, 0}));
  EXPECT_EQ(TokenClusters::bytes_of(shape_of(2, 1, {.count = 1})), 4u * (2 + 2 + 2));
  EXPECT_EQ(TokenClusters::bytes_of(shape_of(2, 1, {})), 0u);
}

}  // namespace
}  // namespace engine
