#include "cache/change_recorder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace engine {
namespace {

Tensor tensor(const std::vector<float>& values, const Shape& shape) {
  Tensor made(shape, DType::kF32);
  std::copy(values.begin(), values.end(), made.f32());
  return made;
}

const Shape kStream{2, 1, 2};
constexpr ModuleSite kMlp{
    .step = 0, .layer = 3, .block = BlockKind::kJoint, .module = Module::kMlp};

class ChangeRecorderTest : public testing::Test {
 protected:
  // A step that adds `residual` to a stream of ones, with a module of `output`.
  void step(int index, float residual, float output, ConstTensorView gate = {}) {
    recorder_.begin(index, tensor({1, 1, 1, 1}, kStream));
    ModuleSite site = kMlp;
    site.step = index;
    recorder_.ran(site, tensor({output, output, 0, 0}, kStream), gate);
    const float end = 1 + residual;
    recorder_.end(tensor({end, end, end, end}, kStream));
  }

  std::unique_ptr<Backend> backend_ = make_plain_backend();
  ChangeRecorder recorder_{*backend_};
};

TEST_F(ChangeRecorderTest, ComparesWithEveryEarlierStepTheNewestFirst) {
  step(0, 1, 0);
  step(1, 3, 2);
  step(2, 7, 8);
  const std::vector<StepRecord>& steps = recorder_.steps();
  ASSERT_EQ(steps.size(), 3);
  EXPECT_TRUE(steps[0].trunk.empty());
  EXPECT_EQ(steps[0].stream, 2);
  EXPECT_EQ(steps[1].trunk, std::vector<double>({2}));
  EXPECT_EQ(steps[2].trunk, std::vector<double>({4, 6}));
  ASSERT_EQ(steps[2].modules.size(), 1);
  EXPECT_EQ(steps[2].modules[0].layer, 3);
  EXPECT_EQ(steps[2].modules[0].module, Module::kMlp);
  // Half of the values change by 6 and by 8.
  const std::vector<double>& changes = steps[2].modules[0].changes;
  ASSERT_EQ(changes.size(), 2);
  EXPECT_DOUBLE_EQ(changes[0], 6 / std::sqrt(2.0));
  EXPECT_DOUBLE_EQ(changes[1], 8 / std::sqrt(2.0));
}

TEST_F(ChangeRecorderTest, WeighsAModuleByItsGate) {
  const Tensor small = tensor({1, 0}, {2}), large = tensor({3, 0}, {2});
  step(0, 0, 5, small);
  step(1, 0, 5, large);
  // One value of four goes from 5 to 15.
  EXPECT_DOUBLE_EQ(recorder_.steps()[1].modules[0].changes[0], 5);
}

TEST_F(ChangeRecorderTest, KeepsABoundedNumberOfSteps) {
  for (int i = 0; i < kRecordedSteps + 3; ++i) step(i, static_cast<float>(i), 0);
  EXPECT_EQ(recorder_.steps().back().trunk.size(), static_cast<size_t>(kRecordedSteps));
  EXPECT_EQ(recorder_.steps().back().trunk.back(), kRecordedSteps);
}

}  // namespace
}  // namespace engine
