// What stands in for the trunk, and what is measured of it, by hand on a few numbers.
#include "cache/trunk_cache.h"

#include <gtest/gtest.h>

#include <cstring>

#include "engine/error.h"

namespace engine {
namespace {

// Two rows of one token with one channel.
TrunkCacheShape shape_of(const CacheNeeds& needs) {
  return {.rows = 2, .tokens = 1, .channels = 1, .needs = needs};
}

struct Pair {
  Pair(float first, float second) : tensor({2, 1, 1}, DType::kF32) { set(first, second); }
  void set(float first, float second) {
    tensor.f32()[0] = first;
    tensor.f32()[1] = second;
  }
  std::vector<float> values() const { return {tensor.f32()[0], tensor.f32()[1]}; }
  Tensor tensor;
};

class TrunkCacheTest : public testing::Test {
 protected:
  // A step that takes x from `in` to `out`.
  std::optional<Change> run(TrunkCache& cache, int step, const Pair& in, const Pair& out) {
    cache.run(in.tensor);
    return cache.ran(step, out.tensor);
  }
  std::unique_ptr<Backend> backend_ = make_plain_backend();
};

TEST(Differences, ForecastByTheirTaylorSeries) {
  const auto backend = make_plain_backend();
  const Tensor differences({3, 1}, DType::kF32), fresh({1}, DType::kF32), output({1}, DType::kF32);
  DifferenceHistory history;
  const auto take = [&](int step, float value) {
    fresh.f32()[0] = value;
    update_differences(*backend, fresh, differences, history, step);
  };
  const auto at = [&](int step) {
    forecast(*backend, differences, history, step, {}, output);
    return output.f32()[0];
  };
  take(0, 1);
  EXPECT_EQ(at(2), 1);  // nothing but the value is known
  take(3, 7);
  EXPECT_EQ(at(4), 9);  // slope 2
  take(6, 25);
  // Slope 6; it grew by 4 in 3 steps: 25 + 6 · 2 + (4/3) · 2² / 2.
  EXPECT_FLOAT_EQ(at(8), 25 + 12 + 8.0f / 3);
  output.f32()[0] = 100;
  forecast(*backend, differences, history, 6, output, output);
  EXPECT_EQ(output.f32()[0], 125);  // beside a base
  EXPECT_THROW(take(6, 1), Error);  // steps come in order
}

TEST_F(TrunkCacheTest, TakesWhatThePlanSays) {
  const auto bytes = [](const CacheNeeds& needs) { return TrunkCache::bytes_of(shape_of(needs)); };
  constexpr uint64_t kTensor = 8, kSums = 2 * 2 * 8;
  EXPECT_EQ(bytes({}), 0u);
  EXPECT_EQ(bytes({.trunk = TrunkKept::kOutput}), kTensor);
  EXPECT_EQ(bytes({.trunk = TrunkKept::kResidual}), kTensor);
  // Three orders, and one to make the residual in.
  EXPECT_EQ(bytes({.trunk = TrunkKept::kResidual, .trunk_orders = 2}), 4 * kTensor);
  EXPECT_EQ(bytes({.trunk = TrunkKept::kResidual, .changes = {.residual = true}}),
            2 * kTensor + kSums);
  EXPECT_EQ(bytes({.changes = {.modulated_input = true, .input = true, .output = true}}),
            3 * kTensor + kSums);
  EXPECT_EQ(bytes({.changes = {.front = true}}), 2 * kTensor + kSums);
}

TEST_F(TrunkCacheTest, AddsTheResidualOfTheLastStepThatRan) {
  TrunkCache cache(*backend_, shape_of({.trunk = TrunkKept::kResidual}));
  run(cache, 0, {1, 2}, {4, 8});
  Pair x(10, 20);
  cache.stand_in(1, TrunkDecision::kReuse, x.tensor);
  EXPECT_EQ(x.values(), (std::vector<float>{13, 26}));
  run(cache, 2, {0, 0}, {5, 7});
  x.set(1, 1);
  cache.stand_in(3, TrunkDecision::kReuse, x.tensor);
  EXPECT_EQ(x.values(), (std::vector<float>{6, 8}));
}

TEST_F(TrunkCacheTest, TakesTheOutputOfTheLastStepThatRan) {
  TrunkCache cache(*backend_, shape_of({.trunk = TrunkKept::kOutput}));
  run(cache, 0, {1, 2}, {4, 8});
  Pair x(10, 20);
  cache.stand_in(1, TrunkDecision::kReuse, x.tensor);
  EXPECT_EQ(x.values(), (std::vector<float>{4, 8}));
}

TEST_F(TrunkCacheTest, ForecastsTheResidual) {
  TrunkCache cache(*backend_, shape_of({.trunk = TrunkKept::kResidual, .trunk_orders = 1}));
  run(cache, 0, {1, 1}, {2, 3});  // 1, 2
  run(cache, 2, {1, 1}, {4, 3});  // 3, 2: slopes 1, 0
  Pair x(10, 10);
  cache.stand_in(5, TrunkDecision::kForecast, x.tensor);
  EXPECT_EQ(x.values(), (std::vector<float>{16, 12}));
  x.set(10, 10);
  cache.stand_in(5, TrunkDecision::kReuse, x.tensor);
  EXPECT_EQ(x.values(), (std::vector<float>{13, 12}));
}

TEST_F(TrunkCacheTest, KnowsNothingOfAnEarlierClip) {
  TrunkCache cache(*backend_,
                   shape_of({.trunk = TrunkKept::kResidual, .changes = {.input = true}}));
  cache.begin_step(Pair(1, 1).tensor);
  run(cache, 0, {1, 1}, {2, 3});
  EXPECT_TRUE(cache.begin_step(Pair(1, 1).tensor));
  cache.begin_clip();
  EXPECT_FALSE(cache.begin_step(Pair(1, 1).tensor));
  Pair x(1, 1);
  EXPECT_THROW(cache.stand_in(1, TrunkDecision::kReuse, x.tensor), Error);
}

TEST_F(TrunkCacheTest, MeasuresAgainstTheStepBefore) {
  TrunkCache cache(*backend_, shape_of({.changes = {.modulated_input = true, .output = true}}));
  EXPECT_FALSE(cache.modulated_input(Pair(1, -3).tensor));
  const std::optional<Change> change = cache.modulated_input(Pair(2, -1).tensor);
  ASSERT_TRUE(change);
  EXPECT_EQ(change->difference, 3);
  EXPECT_EQ(change->reference, 4);
  EXPECT_EQ(change->relative(), 0.75);
  EXPECT_EQ(cache.modulated_input(Pair(2, -1).tensor)->relative(), 0);
  EXPECT_FALSE(cache.begin_step(Pair(1, 1).tensor));  // nobody asked
  EXPECT_FALSE(cache.end_step(Pair(1, 1).tensor));
  EXPECT_DOUBLE_EQ(cache.end_step(Pair(1, 2).tensor)->relative(), 1.0 / 3);  // of the new one
}

TEST_F(TrunkCacheTest, MeasuresTheFrontAgainstTheLastStepThatRan) {
  TrunkCache cache(*backend_,
                   shape_of({.trunk = TrunkKept::kResidual, .changes = {.front = true}}));
  const auto front = [&](float first, float second) {  // added before the span
    cache.begin_step(Pair(1, 1).tensor);
    return cache.reach_span(Pair(1 + first, 1 + second).tensor);
  };
  EXPECT_FALSE(front(2, 2));
  run(cache, 0, {3, 3}, {5, 5});
  EXPECT_EQ(front(3, 2)->relative(), 0.25);
  Pair x(4, 3);
  cache.stand_in(1, TrunkDecision::kReuse, x.tensor);
  EXPECT_EQ(front(4, 2)->relative(), 0.5);  // against step 0 still
}

TEST_F(TrunkCacheTest, MeasuresTheResidualAgainstTheOneKept) {
  TrunkCache cache(*backend_,
                   shape_of({.trunk = TrunkKept::kResidual, .changes = {.residual = true}}));
  EXPECT_FALSE(run(cache, 0, {0, 0}, {2, 2}));
  EXPECT_EQ(run(cache, 1, {1, 1}, {4, 2})->relative(), 0.5);
  Pair x(0, 0);
  cache.stand_in(2, TrunkDecision::kReuse, x.tensor);
  EXPECT_EQ(x.values(), (std::vector<float>{3, 1}));
}

}  // namespace
}  // namespace engine
