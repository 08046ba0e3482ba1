// For the tests of cutting and resuming: a clip of the demo model with refresh points 0, 1, 2 and 6
// of 8 steps, and what its frames are when nothing happens to it.
#pragma once

#include "pipeline/render_checkpoint.h"
#include "pipeline/test_support.h"

namespace engine {

inline constexpr int kSteps = 8;
inline const std::filesystem::path kModel = TOCAFARM_DEMO_MODEL;

// An engine for all tests of a file; each has a folder for its checkpoints.
class ResumeTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    engine_ = Engine::load({.model = kModel, .threads = 2});
    Recorder recorder;
    engine_->render({.request = request(), .initial_latent = {}, .save_latent = {}}, recorder,
                    recorder.signals);
    whole_ = recorder.digest();
  }
  static void TearDownTestSuite() { engine_.reset(); }

  static RenderRequest request() {
    RenderRequest request = small_request();
    request.height = 32;
    request.width = 32;
    request.steps = kSteps;
    return request;
  }

  RenderOptions options() const {
    return {.request = request(),
            .initial_latent = {},
            .save_latent = {},
            .checkpoint_folder = folder_.path(),
            .checkpoint_period_seconds = 0};
  }

  std::filesystem::path checkpoint(int step) const {
    return folder_.path() / render_checkpoint_name(step);
  }

  // Renders to the end; returns the digest of the frames.
  static std::string render(Engine& engine, const RenderOptions& options) {
    Recorder recorder;
    engine.render(options, recorder, recorder.signals);
    return recorder.digest();
  }

  static testing::AssertionResult is_cut(const RenderOptions& options, Recorder& recorder) {
    return fails([&] { engine_->render(options, recorder, recorder.signals); },
                 ErrorCode::kInterrupted, "the render was cut");
  }

  // A render with every checkpoint that there is.
  void make_checkpoints() {
    Recorder recorder;
    engine_->render(options(), recorder, recorder.signals);
    EXPECT_EQ(recorder.checkpoint_steps(), (std::vector<int>{1, 2, 6, kSteps}));
    EXPECT_EQ(recorder.digest(), whole_);
  }

  RenderOptions resumed_from(const std::filesystem::path& file) const {
    RenderOptions resumed = options();
    resumed.resume_from = file;
    return resumed;
  }

  inline static std::unique_ptr<Engine> engine_;
  inline static std::string whole_;  // digest of the frames of a clip that nobody cut
  TemporaryFolder folder_;
};

}  // namespace engine
