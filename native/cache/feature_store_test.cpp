#include "cache/feature_store.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>

#include "cache/cache_stats.h"
#include "cache/token_selector.h"
#include "engine/error.h"

namespace engine {
namespace {

constexpr FeatureStoreShape kShape{.depth = 2,
                                   .temporal_blocks = true,
                                   .rows = 2,
                                   .tokens = 5,
                                   .channels = 4,
                                   .needs = {.features = true, .scores = true}};

constexpr TokenLayout kLayout{.rows = 2, .frames = 1, .height = 1, .width = 5};

constexpr ModuleSite kMlpSite{
    .step = 4, .layer = 1, .block = BlockKind::kTemporal, .module = Module::kMlp};

TEST(FeatureStore, TakesWhatThePlanSays) {
  // 4 blocks of: 3 features of 2 x 5 x 4, 2 counters and one entropy of 2 x 5; 4 bytes each. And
  // the sample of 10 rows of 4 that drift is measured on, with their indices.
  EXPECT_EQ(FeatureStore::bytes_of(kShape), 4u * (3 * 40 + 2 * 10 + 10) * 4 + 10 * (4 + 1) * 4);
  FeatureStoreShape none = kShape;
  none.needs = {};
  EXPECT_EQ(FeatureStore::bytes_of(none), 0u);
  FeatureStoreShape norm = kShape;
  norm.score = TokenScore::kNorm;
  EXPECT_EQ(FeatureStore::bytes_of(norm), 4u * (3 * 40 + 2 * 10) * 4 + 10 * (4 + 1) * 4);
}

TEST(FeatureStore, TakesAHalfOrAQuarterInFewerBits) {
  constexpr uint64_t kFeatures = 4 * 3 * 40;  // values, in rows of 4
  const auto backend = make_plain_backend();
  const uint64_t whole = FeatureStore::bytes_of(kShape);
  FeatureStoreShape shape = kShape;
  shape.needs.dtype = DType::kBF16;
  EXPECT_EQ(FeatureStore::bytes_of(shape), whole - 2 * kFeatures);
  shape.needs.dtype = DType::kF8;
  EXPECT_EQ(FeatureStore::bytes_of(shape), whole - 3 * kFeatures + kFeatures / 4 * 4);
  FeatureStore store(*backend, shape);
  const TensorView last = store.feature(1, BlockKind::kTemporal, Module::kMlp);
  const TensorView before = store.feature(1, BlockKind::kTemporal, Module::kCrossAttention);
  EXPECT_EQ(last.shape(), (Shape{2, 5, 4}));
  EXPECT_EQ(last.u8() - before.u8(), 40);
  EXPECT_EQ(last.scales() - before.scales(), 10);
  // What is kept of 1, 2, 3, .. in rows of 4 is within a sixteenth of it.
  Tensor fresh({2, 5, 4}, DType::kF32), read({2, 5, 4}, DType::kF32);
  for (int64_t i = 0; i < fresh.elements(); ++i) fresh.f32()[i] = static_cast<float>(i + 1);
  store.refresh(kMlpSite, fresh);
  store.forecast(kMlpSite, read);
  for (int64_t i = 0; i < fresh.elements(); ++i) {
    EXPECT_NEAR(read.f32()[i], fresh.f32()[i], fresh.f32()[i] / 16);
  }
  EXPECT_NE(read.f32()[36], fresh.f32()[36]);  // 37 · 448 / 40 is none of its numbers
}

TEST(FeatureStore, KeepsNothingForAModuleThatTheBlocksDoNotHave) {
  FeatureStoreShape joint = kShape;
  joint.temporal_blocks = false;
  joint.cross_attention = false;
  joint.score = TokenScore::kAttention;
  // 2 blocks of: 2 features of 2 x 5 x 4, 1 counter and one column sum of 2 x 5; 4 bytes each. And
  // the sample for drift.
  EXPECT_EQ(FeatureStore::bytes_of(joint), 2u * (2 * 40 + 10 + 10) * 4 + 10 * (4 + 1) * 4);
  const auto backend = make_plain_backend();
  const FeatureStore store(*backend, joint);
  const TensorView mlp = store.feature(1, BlockKind::kJoint, Module::kMlp);
  EXPECT_EQ(mlp.f32() - store.feature(0, BlockKind::kJoint, Module::kMlp).f32(), 2 * 40);
  EXPECT_EQ(mlp.f32() - store.feature(1, BlockKind::kJoint, Module::kSelfAttention).f32(), 40);
  EXPECT_TRUE(store.half_entropy(0, BlockKind::kJoint).empty());
  EXPECT_EQ(store.statistic(1, BlockKind::kJoint, TokenScore::kAttention).shape(), (Shape{2, 5}));
  EXPECT_THROW(store.feature(0, BlockKind::kJoint, Module::kCrossAttention), Error);
}

TEST(FeatureStore, GivesEveryModuleOfEveryBlockItsOwnPlace) {
  const auto backend = make_plain_backend();
  const FeatureStore store(*backend, kShape);
  std::vector<const void*> seen;
  for (const int layer : {0, 1}) {
    for (const BlockKind block : {BlockKind::kSpatial, BlockKind::kTemporal}) {
      for (const Module module : {Module::kSelfAttention, Module::kCrossAttention, Module::kMlp}) {
        const TensorView feature = store.feature(layer, block, module);
        EXPECT_EQ(feature.shape(), (Shape{2, 5, 4}));
        for (const void* const other : seen) EXPECT_NE(feature.data(), other);
        seen.push_back(feature.data());
      }
    }
  }
}

class SelectorTest : public testing::Test {
 protected:
  SelectorTest()
      : backend_(make_plain_backend()),
        store_(*backend_, kShape),
        scores_(backend_->allocate({2, 5}, DType::kF32)),
        indices_(backend_->allocate({2, 5}, DType::kI32)),
        selector_(*backend_, store_, {.score = TokenScore::kEntropy, .staleness_weight = 0.5f},
                  kLayout, scores_, indices_) {
    store_.reset_counters(1, BlockKind::kTemporal, Module::kMlp);
    const float entropies[] = {0.1f, 0.5f, 0.2f, 0.3f, 0.4f, 0.1f, 0.5f, 0.2f, 0.3f, 0.4f};
    std::memcpy(store_.half_entropy(1, BlockKind::kTemporal).data(), entropies, sizeof(entropies));
  }

  std::vector<int32_t> counters() const {
    const TensorView view = store_.counters(1, BlockKind::kTemporal, Module::kMlp);
    return {view.i32(), view.i32() + view.elements()};
  }

  std::unique_ptr<Backend> backend_;
  FeatureStore store_;
  Tensor scores_, indices_;
  TokenSelector selector_;
};

TEST_F(SelectorTest, TakesTheHighestScoresAndCountsTheOthers) {
  const ConstTensorView chosen = selector_.select(kMlpSite, 2, {});
  EXPECT_EQ(std::vector<int32_t>(chosen.i32(), chosen.i32() + 4),
            (std::vector<int32_t>{1, 4, 1, 4}));
  EXPECT_EQ(counters(), (std::vector<int32_t>{1, 0, 1, 1, 0, 1, 0, 1, 1, 0}));
  // A missed step outweighs any difference of entropies, so the next ranks follow.
  const ConstTensorView next = selector_.select(kMlpSite, 2, {});
  EXPECT_EQ(std::vector<int32_t>(next.i32(), next.i32() + 2), (std::vector<int32_t>{2, 3}));
}

TEST_F(SelectorTest, CountsOnWhenNoTokenIsChosen) {
  EXPECT_TRUE(selector_.select(kMlpSite, 0, {}).empty());
  EXPECT_EQ(counters(), std::vector<int32_t>(10, 1));
  store_.reset_counters(1, BlockKind::kTemporal, Module::kMlp);
  EXPECT_EQ(counters(), std::vector<int32_t>(10, 0));
}

class Replace : public SelectionObserver {
 public:
  void on_selection(const SelectionCall& call, TensorView indices) override {
    EXPECT_EQ(call.tokens, 2);
    EXPECT_EQ(call.counters.i32()[0], 0);
    EXPECT_GT(call.scores.f32()[1], call.scores.f32()[0]);
    indices.i32()[0] = 0;  // row 0: tokens 0 and 4 in place of 1 and 4
  }
};

TEST_F(SelectorTest, RaisesTheBestTokenOfEachCell) {
  // Cells of tokens {0, 1}, {2, 3} and {4}.
  TokenSelector spreading(*backend_, store_,
                          {.score = TokenScore::kEntropy,
                           .staleness_weight = 0.5f,
                           .spread_cell = 2,
                           .spread_factor = 1.6f},
                          kLayout, scores_, indices_);
  spreading.select(kMlpSite, 3, {});
  // Of the entropies 1 + 0.2, 1 + 1, 1 + 0.4, 1 + 0.6, 1 + 0.8.
  const float* const scores = scores_.f32();
  EXPECT_FLOAT_EQ(scores[2] / scores[0], 1.4f / 1.2f);
  EXPECT_FLOAT_EQ(scores[1] / scores[0], 1.6f * 2.0f / 1.2f);
  EXPECT_FLOAT_EQ(scores[3] / scores[2], 1.6f * 1.6f / 1.4f);
  EXPECT_FLOAT_EQ(scores[4] / scores[0], 1.6f * 1.8f / 1.2f);
}

TEST_F(SelectorTest, DrawsTheSameForBothHalvesAndAnewForEverySite) {
  TokenSelector random(*backend_, store_, {.score = TokenScore::kRandom, .staleness_weight = 0.5f},
                       kLayout, scores_, indices_);
  EXPECT_THROW(random.select(kMlpSite, 2, {}), Error);  // without a seed
  const auto draw = [&](uint64_t seed, const ModuleSite& site) {
    const std::array<uint64_t, 1> seeds{seed};
    random.seed(seeds);
    store_.reset_counters(1, BlockKind::kTemporal, Module::kMlp);
    random.select(site, 2, {});
    return std::vector<float>(scores_.f32(), scores_.f32() + 10);
  };
  ModuleSite later = kMlpSite;
  ++later.step;
  const std::vector<float> first = draw(7, kMlpSite);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(first[i], first[i + 5]);
    EXPECT_GE(first[i], 0.0f);
    EXPECT_LT(first[i], 1.0f);
  }
  EXPECT_EQ(draw(7, kMlpSite), first);
  EXPECT_NE(draw(8, kMlpSite), first);
  EXPECT_NE(draw(7, later), first);
  // The counters of the draw before: tokens that it passed over gain a half.
  const std::vector<float> fresh = draw(7, later);
  const std::vector<int32_t> missed = counters();
  random.select(later, 2, {});
  for (size_t i = 0; i < 10; ++i) {
    EXPECT_FLOAT_EQ(scores_.f32()[i], fresh[i] + 0.5f * static_cast<float>(missed[i]));
  }
}

TEST_F(SelectorTest, LetsAnObserverReplaceTheChoice) {
  Replace observer;
  selector_.observe(&observer);
  const ConstTensorView chosen = selector_.select(kMlpSite, 2, {});
  EXPECT_EQ(std::vector<int32_t>(chosen.i32(), chosen.i32() + 4),
            (std::vector<int32_t>{0, 4, 1, 4}));
  EXPECT_EQ(counters(), (std::vector<int32_t>{0, 1, 1, 1, 0, 1, 0, 1, 1, 0}));
}

TEST(CacheStats, SumsByModuleAndInAll) {
  CacheStats stats;
  EXPECT_EQ(stats.total().hit_rate(), 0.0);
  ModuleReport report;
  report.module = Module::kMlp;
  report.tokens_computed = 30;
  report.tokens_reused = 10;
  stats.add(report);
  report.module = Module::kSelfAttention;
  report.tokens_computed = 0;
  report.tokens_reused = 40;
  stats.add(report);
  EXPECT_EQ(stats.total().calls, 2);
  EXPECT_DOUBLE_EQ(stats.total().hit_rate(), 50.0 / 80.0);
  EXPECT_DOUBLE_EQ(stats.by_site().at({0, BlockKind::kSpatial, Module::kMlp}).hit_rate(), 0.25);
}

}  // namespace
}  // namespace engine
