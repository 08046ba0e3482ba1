// The unconditional half of the guidance pair, restored.
#include "cache/guidance_cache.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "core/philox.h"
#include "engine/error.h"

namespace engine {
namespace {

constexpr PolicyContext kContext{.steps = 6, .depth = 1, .tokens = 4};
constexpr GuidanceShape kShape{
    .clips = 2, .rows = 4, .channels = 2, .frames = 3, .height = 7, .width = 10};

std::unique_ptr<CachePolicy> policy_with(const std::string& low, const std::string& high) {
  return make_policy({"fastercache",
                      {{"from", "1"},
                       {"interval", "3"},
                       {"low_weight", low},
                       {"high_weight", high},
                       {"low_until", "6"},
                       {"high_from", "0"}}},
                     kContext);
}

// [2 clips, 3 channels, frames, height, width]: one channel more than is guided.
Tensor prediction(uint64_t seed) {
  Tensor tensor({4, 3, 3, 7, 10}, DType::kF32);
  fill_normal({tensor.f32(), static_cast<size_t>(tensor.elements())}, seed, kInitialLatentStream);
  return tensor;
}

class GuidanceCacheTest : public testing::Test {
 protected:
  // Element i of channel c of a clip's half.
  static float& at(Tensor& tensor, int64_t row, int64_t channel, int64_t i) {
    return tensor.f32()[(row * 3 + channel) * 3 * 70 + i];
  }
  std::unique_ptr<Backend> backend_ = make_plain_backend();
};

TEST_F(GuidanceCacheTest, RestoresWhatWasKeptExactlyAtWeightsOfOne) {
  const auto policy = policy_with("1", "1");
  GuidanceCache cache(*backend_, *policy, kShape);
  EXPECT_EQ(cache.rows(0), 4);
  EXPECT_EQ(cache.rows(1), 2);
  Tensor kept = prediction(1), now = prediction(1);
  cache.complete(0, kept);
  for (int64_t row = 2; row < 4; ++row) {
    for (int64_t i = 0; i < 3 * 210; ++i) at(now, row, 0, i) = NAN;  // not computed
  }
  cache.complete(1, now);
  for (int64_t row = 0; row < 4; ++row) {
    for (int64_t i = 0; i < 2 * 210; ++i) {
      EXPECT_NEAR(at(now, row, 0, i), at(kept, row, 0, i), 2e-6);
    }
  }
}

TEST_F(GuidanceCacheTest, WeighsFrequenciesWithinAFifthOfTheSmallerSideApart) {
  const auto policy = policy_with("0.5", "2");
  GuidanceCache cache(*backend_, *policy, kShape);
  Tensor kept = prediction(2);
  // u - c is a wave of one period over the height, which is low, and one of two over the width.
  const auto low = [](int64_t i) {
    return static_cast<float>(std::cos(2 * std::numbers::pi * (i % 70 / 10) / 7.0 + 0.3));
  };
  const auto high = [](int64_t i) {
    return static_cast<float>(0.7 * std::sin(2 * std::numbers::pi * 2 * (i % 10) / 10.0 + 0.1));
  };
  for (int64_t clip = 0; clip < 2; ++clip) {
    for (int64_t i = 0; i < 2 * 210; ++i) {
      at(kept, 2 + clip, 0, i) = at(kept, clip, 0, i) + low(i) + high(i);
    }
  }
  cache.complete(0, kept);
  Tensor now = prediction(3);
  cache.complete(1, now);
  for (int64_t clip = 0; clip < 2; ++clip) {
    for (int64_t i = 0; i < 2 * 210; ++i) {
      EXPECT_NEAR(at(now, 2 + clip, 0, i), at(now, clip, 0, i) + 0.5f * low(i) + 2.0f * high(i),
                  5e-6);
    }
  }
}

TEST_F(GuidanceCacheTest, CountsItsBytesAndKnowsNothingOfANewClip) {
  const auto policy = policy_with("1", "1"), none = make_policy({}, kContext);
  EXPECT_EQ(GuidanceCache::bytes_of(*policy, kShape), 2u * 4 * 2 * 2 * 3 * 70);
  EXPECT_EQ(GuidanceCache::bytes_of(*none, kShape), 0u);
  GuidanceCache cache(*backend_, *policy, kShape);
  Tensor predicted = prediction(4);
  cache.complete(0, predicted);
  cache.begin_clip();
  EXPECT_THROW(cache.complete(1, predicted), Error);
  GuidanceShape unguided = kShape;
  unguided.rows = unguided.clips;
  EXPECT_THROW(GuidanceCache(*backend_, *policy, unguided), Error);
  EXPECT_NO_THROW(GuidanceCache(*backend_, *none, unguided));
}

}  // namespace
}  // namespace engine
