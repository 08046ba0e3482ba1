// Clips of the demo model that are cut at every moment of a render: what is done is kept at the
// next refresh point, and the rest of the clip gives the bits of one that was never cut.
#include <chrono>
#include <thread>

#include "pipeline/resume_test_support.h"

namespace engine {
namespace {

class CutTest : public ResumeTest {};

TEST_F(CutTest, ACutDuringAnyStepIsTakenUpAtTheNextRefreshPoint) {
  const std::vector<int> next{1, 2, 6, 6, 6, 6, kSteps, kSteps};
  for (int step = 0; step < kSteps; ++step) {
    Recorder recorder;
    RenderOptions hourly = options();
    hourly.checkpoint_period_seconds = 3600;
    recorder.after_step = [&](int done) {
      if (done == step) recorder.signals.cut = true;
    };
    EXPECT_TRUE(is_cut(hourly, recorder));
    ASSERT_EQ(recorder.checkpoint_steps(), std::vector<int>{next[static_cast<size_t>(step)]});
    EXPECT_EQ(recorder.frames, 0);
    EXPECT_EQ(render(*engine_, resumed_from(recorder.checkpoints[0].file)), whole_);
  }
}

TEST_F(CutTest, AClipThatIsCutAgainAndAgainEndsWithTheSameFrames) {
  RenderOptions next = options();
  std::vector<int> checkpoints;
  for (int cuts = 0; cuts < 4; ++cuts) {
    Recorder recorder;
    recorder.after_step = [&](int) { recorder.signals.cut = true; };
    EXPECT_TRUE(is_cut(next, recorder));
    ASSERT_EQ(recorder.checkpoints.size(), 1u);
    checkpoints.push_back(recorder.checkpoints[0].step);
    next.resume_from = recorder.checkpoints[0].file;
  }
  EXPECT_EQ(checkpoints, (std::vector<int>{1, 2, 6, kSteps}));
  EXPECT_EQ(render(*engine_, next), whole_);
}

TEST_F(CutTest, ACutAtAnyMomentOfAnotherThreadLosesNothing) {
  // From a thread of its own, as it comes in use: wherever it falls, the clip ends the same.
  for (int i = 0; i < 12; ++i) {
    Recorder recorder;
    std::thread cutter([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(5 * i));
      recorder.signals.cut = true;
    });
    std::string digest;
    try {
      engine_->render(options(), recorder, recorder.signals);
      digest = recorder.digest();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInterrupted) << error.what();
    }
    cutter.join();
    if (digest.empty()) {
      RenderOptions rest = options();
      if (!recorder.checkpoints.empty()) rest.resume_from = recorder.checkpoints.back().file;
      digest = render(*engine_, rest);
    }
    EXPECT_EQ(digest, whole_);
  }
}

TEST_F(CutTest, ACutBeforeTheFirstStepIsDoneStopsAtOnceAndKeepsNothing) {
  Recorder recorder;
  recorder.signals.cut = true;
  EXPECT_TRUE(is_cut(options(), recorder));
  EXPECT_TRUE(recorder.stages.empty());
  EXPECT_EQ(folder_.files(), 0u);
  make_checkpoints();
  for (const int step : {2, kSteps}) {
    Recorder again;
    again.signals.cut = true;
    EXPECT_TRUE(is_cut(resumed_from(checkpoint(step)), again));
    EXPECT_TRUE(again.steps.empty());
    EXPECT_TRUE(again.checkpoints.empty());
    EXPECT_EQ(again.frames, 0);
  }
}

TEST_F(CutTest, ACutWithoutAFolderStopsWithinAStep) {
  Recorder recorder;
  RenderOptions folderless = options();
  folderless.checkpoint_folder.clear();
  recorder.after_step = [&](int step) { recorder.signals.cut = step == 3; };
  EXPECT_TRUE(is_cut(folderless, recorder));
  EXPECT_EQ(recorder.steps.size(), 4u);
  EXPECT_TRUE(recorder.checkpoints.empty());
}

TEST_F(CutTest, ACutWhileDecodingKeepsTheFinalLatent) {
  for (const double period_seconds : {0.0, 3600.0}) {
    Recorder recorder;
    RenderOptions cut = options();
    cut.request.frames = 51;
    const std::string whole = render(*engine_, cut);
    cut.checkpoint_period_seconds = period_seconds;
    recorder.after_frames = [&](int) { recorder.signals.cut = true; };
    EXPECT_TRUE(is_cut(cut, recorder));
    EXPECT_LT(recorder.frames, 51);
    ASSERT_FALSE(recorder.checkpoints.empty());
    EXPECT_EQ(recorder.checkpoints.back().step, kSteps);
    // Written once, whether the period had asked for it or the cut.
    EXPECT_EQ(recorder.checkpoints.size(), period_seconds == 0 ? 4u : 1u);
    cut.resume_from = recorder.checkpoints.back().file;
    EXPECT_EQ(render(*engine_, cut), whole);
  }
}

TEST_F(CutTest, CancelWinsOverACutAndKeepsNothing) {
  make_checkpoints();
  const size_t files = folder_.files();
  for (const int from : {2, 6}) {
    Recorder recorder;
    recorder.after_step = [&](int) {
      recorder.signals.cut = true;
      recorder.signals.cancelled = true;
    };
    EXPECT_TRUE(fails(
        [&] {
          RenderOptions rest = resumed_from(checkpoint(from));
          rest.checkpoint_period_seconds = 3600;
          engine_->render(rest, recorder, recorder.signals);
        },
        ErrorCode::kCancelled, "cancelled"));
    EXPECT_EQ(recorder.steps.size(), 1u);
    EXPECT_TRUE(recorder.checkpoints.empty());
  }
  EXPECT_EQ(folder_.files(), files);
  EXPECT_EQ(render(*engine_, options()), whole_);
}

}  // namespace
}  // namespace engine
