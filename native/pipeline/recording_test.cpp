// What calibration records of small clips, of every kind of sampler: it is what policies that leave
// a step out really do, and the engine renders on as if nothing had happened.
#include <gtest/gtest.h>

#include <atomic>

#include "engine/error.h"
#include "pipeline/recording.h"
#include "pipeline/test_support.h"

namespace engine {
namespace {

const std::filesystem::path kModel = TOCAFARM_DEMO_MODEL;

class RecordingTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { engine_ = Engine::load({.model = kModel, .threads = 1}); }
  static void TearDownTestSuite() { engine_.reset(); }

  static RenderRequest clip() {
    RenderRequest request = small_request();
    request.steps = 4;
    request.policy = {};
    return request;
  }
  static std::string render() {
    Recorder recorder;
    engine_->render({.request = clip(), .initial_latent = {}, .save_latent = {}}, recorder,
                    recorder.signals);
    return recorder.digest();
  }

  static std::unique_ptr<Engine> engine_;
  RenderSignals signals_;
  const PassProgress ignore_ = [](int, int) {};
};
std::unique_ptr<Engine> RecordingTest::engine_;

TEST_F(RecordingTest, HoldsEveryModuleOfEveryStepAgainstTheEarlierOnes) {
  int last = 0, total = 0;
  const std::vector<StepRecord> steps = engine_->record(clip(), signals_, [&](int done, int all) {
    EXPECT_EQ(done, last + 1);
    last = done;
    total = all;
  });
  // Four steps, and from each but the first on the step before and all that follow.
  EXPECT_EQ(last, 4 + 4 + 3 + 2);
  EXPECT_EQ(total, last);
  ASSERT_EQ(steps.size(), 4);
  EXPECT_EQ(steps[0].output, 0);
  for (const StepRecord& step : steps) {
    const auto earlier = static_cast<size_t>(step.step);
    EXPECT_EQ(step.trunk.size(), earlier);
    ASSERT_EQ(step.modules.size(), 6 * 2 * 3);
    for (const ModuleChanges& module : step.modules) EXPECT_EQ(module.changes.size(), earlier);
    if (step.step == 0) continue;
    EXPECT_GT(step.timestep, 0);
    EXPECT_LT(step.timestep, steps[earlier - 1].timestep);
    EXPECT_GT(step.output, 0);
    EXPECT_GT(step.trunk[0], 0);
    // Nothing that is added is larger than the stream that it is added to.
    EXPECT_LT(step.trunk[0], step.stream);
  }
}

TEST_F(RecordingTest, TheOutputOfAStepIsWhatLeavingItOutDoes) {
  const std::vector<StepRecord> steps = engine_->record(clip(), signals_, ignore_);
  const std::vector<FrameDifference> whole =
      engine_->compare(clip(), {policy_without(1, 4), policy_without(3, 4), {}}, signals_, ignore_);
  ASSERT_EQ(whole.size(), 3);
  EXPECT_EQ(steps[1].output, whole[0].mean_absolute);
  EXPECT_EQ(steps[3].output, whole[1].mean_absolute);
  EXPECT_GT(whole[0].root_mean_square, whole[0].mean_absolute);
  EXPECT_EQ(whole[2].mean_absolute, 0);
  EXPECT_EQ(whole[2].root_mean_square, 0);
}

TEST_F(RecordingTest, ChangesNothingForTheNextClip) {
  const std::string before = render();
  engine_->record(clip(), signals_, ignore_);
  EXPECT_EQ(render(), before);
}

TEST_F(RecordingTest, RefusesOtherPoliciesAndStopsWhenCancelled) {
  const auto code_of = [](const std::function<void()>& body) {
    try {
      body();
    } catch (const Error& error) {
      return error.code();
    }
    return ErrorCode::kInternal;
  };
  EXPECT_EQ(code_of([&] { engine_->record(small_request(), signals_, ignore_); }),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of([&] {
              engine_->compare(clip(), {{"nothing", {}}}, signals_, ignore_);
            }),
            ErrorCode::kInvalidArgument);
  const PassProgress cancel = [this](int done, int) { signals_.cancelled = done == 6; };
  EXPECT_EQ(code_of([&] { engine_->record(clip(), signals_, cancel); }), ErrorCode::kCancelled);
}

}  // namespace
}  // namespace engine
