#include "cache/drift_meter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace engine {
namespace {

constexpr DriftShape kShape{.modules = 2, .rows = 3, .channels = 2};

class DriftMeterTest : public testing::Test {
 protected:
  static Tensor feature(const std::vector<float>& values, int64_t channels) {
    Tensor tensor({1, static_cast<int64_t>(values.size()) / channels, channels}, DType::kF32);
    std::copy(values.begin(), values.end(), tensor.f32());
    return tensor;
  }

  // What the meter says of a run of `module` that leaves `fresh` where `kept` was.
  static std::optional<double> run(DriftMeter& meter, int64_t module, int step, Decision decision,
                                   const Tensor& kept, const Tensor& fresh) {
    meter.before(module, step, decision, kept);
    return meter.after(fresh);
  }

  std::unique_ptr<Backend> backend_ = make_plain_backend();
  DriftMeter meter_{*backend_, kShape};
  const Tensor kept_ = feature({1, 2, -3, 4, 0, 0}, 2);
  const Tensor fresh_ = feature({1, 4, -4, 3, -2, 2}, 2);
};

TEST_F(DriftMeterTest, TellsTheRelativeL1OfARefreshAfterReuse) {
  EXPECT_FALSE(run(meter_, 0, 0, Decision::kRefresh, kept_, fresh_));
  EXPECT_FALSE(run(meter_, 0, 1, Decision::kReuse, kept_, kept_));
  // (0 + 2 + 1 + 1 + 2 + 2) / (1 + 4 + 4 + 3 + 2 + 2)
  EXPECT_EQ(run(meter_, 0, 2, Decision::kRefresh, kept_, fresh_), 8.0 / 16.0);
}

TEST_F(DriftMeterTest, IsSilentUntilTheCacheIsInUseAgain) {
  run(meter_, 0, 0, Decision::kRefresh, kept_, fresh_);
  EXPECT_FALSE(run(meter_, 0, 1, Decision::kRefresh, kept_, fresh_));
  run(meter_, 0, 2, Decision::kPartial, kept_, kept_);
  EXPECT_TRUE(run(meter_, 0, 3, Decision::kRefresh, kept_, fresh_));
  EXPECT_FALSE(run(meter_, 0, 4, Decision::kRefresh, kept_, fresh_));
}

TEST_F(DriftMeterTest, KeepsModulesAndClipsApart) {
  run(meter_, 0, 28, Decision::kReuse, kept_, kept_);
  EXPECT_FALSE(run(meter_, 1, 29, Decision::kRefresh, kept_, fresh_));
  // The next clip begins: what is kept is another's.
  EXPECT_FALSE(run(meter_, 0, 0, Decision::kRefresh, kept_, fresh_));
}

TEST_F(DriftMeterTest, IsSilentWhereEverythingIsZero) {
  run(meter_, 0, 0, Decision::kReuse, kept_, kept_);
  EXPECT_FALSE(run(meter_, 0, 1, Decision::kRefresh, kept_, feature({0, 0, 0, 0, 0, 0}, 2)));
}

TEST_F(DriftMeterTest, LooksAtTheSameSpreadRowsOfALargeFeature) {
  constexpr int64_t kRows = 1024, kChannels = 19;  // more than a row of lanes
  static_assert(drift_sample_rows(kRows) == kRows / 16);
  DriftMeter meter(*backend_, {.modules = 1, .rows = kRows, .channels = kChannels});
  std::vector<float> values(kRows * kChannels, 2.0f);
  const Tensor kept = feature(values, kChannels);
  for (int64_t row = 0; row < kRows; ++row) {
    // Sampled is every sixteenth row, the first among them: the others change without notice.
    for (int64_t i = 0; i < kChannels; ++i) {
      values[static_cast<size_t>(row * kChannels + i)] = row % 16 == 0 ? 4.0f : 1000.0f;
    }
  }
  run(meter, 0, 0, Decision::kReuse, kept, kept);
  EXPECT_EQ(run(meter, 0, 1, Decision::kRefresh, kept, feature(values, kChannels)), 0.5);
}

TEST_F(DriftMeterTest, TakesWhatThePlanSays) {
  EXPECT_EQ(DriftMeter::bytes_of(kShape), 3u * (2 + 1) * 4);
  EXPECT_EQ(DriftMeter::bytes_of({.modules = 336, .rows = 47700, .channels = 1152}),
            256u * (1152 + 1) * 4);
}

}  // namespace
}  // namespace engine
