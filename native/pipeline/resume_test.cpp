// Whole clips of the demo model, taken up again from every checkpoint: the frames have the bits of
// a clip that was never interrupted, whichever engine goes on and whatever it rendered before. What
// does not fit is refused, and a checkpoint that cannot be written costs nothing.
#include <chrono>
#include <thread>

#include "pipeline/model_plan.h"
#include "pipeline/resume_test_support.h"

namespace engine {
namespace {

TEST_F(ResumeTest, EveryCheckpointLeadsToTheSameFramesInAnyEngineOfTheKind) {
  make_checkpoints();
  EXPECT_EQ(folder_.files(), 4u);  // no part is left
  const auto fresh = Engine::load({.model = kModel, .threads = 1});
  RenderOptions other = options();
  other.request.seed = 1234;
  other.checkpoint_folder.clear();
  for (const int step : {1, 2, 6, kSteps}) {
    render(*engine_, other);
    EXPECT_EQ(render(*engine_, resumed_from(checkpoint(step))), whole_) << "from step " << step;
    EXPECT_EQ(render(*fresh, resumed_from(checkpoint(step))), whole_) << "from step " << step;
  }
}

TEST_F(ResumeTest, TheFramesOfEveryPolicyAreTheSame) {
  const std::vector<PolicySpec> policies{
      {"none", {}}, {"steps", {}}, {"fora", {{"interval", "3"}}}, {"toca", {{"score", "norm"}}}};
  for (const PolicySpec& policy : policies) {
    RenderOptions rest = options();
    rest.request.policy = policy;
    const Plan plan = make_plan(read_model_configs(kModel), rest.request, DType::kF32);
    Recorder recorder;
    engine_->render(rest, recorder, recorder.signals);
    // All refresh points but 0, and the end.
    EXPECT_EQ(recorder.checkpoints.size(), refresh_points(plan).size()) << policy.name;
    EXPECT_EQ(recorder.checkpoint_steps().back(), static_cast<int>(plan.steps.size()));
    for (const RenderCheckpoint& from : recorder.checkpoints) {
      rest.resume_from = from.file;
      EXPECT_EQ(render(*engine_, rest), recorder.digest()) << policy.name << " from " << from.step;
    }
  }
}

TEST_F(ResumeTest, AResumedRenderTellsOfTheStepsThatItDoes) {
  make_checkpoints();
  Recorder recorder;
  engine_->render(resumed_from(checkpoint(2)), recorder, recorder.signals);
  ASSERT_EQ(recorder.steps.size(), 6u);
  EXPECT_EQ(recorder.steps[0].step, 2);
  EXPECT_EQ(recorder.steps[5].step, 7);
  EXPECT_EQ(recorder.steps[0].steps, kSteps);
  EXPECT_EQ(recorder.checkpoint_steps(), (std::vector<int>{6, kSteps}));
}

TEST_F(ResumeTest, FromTheEndOfDenoisingOnlyDecodingIsDone) {
  make_checkpoints();
  Recorder recorder;
  RenderOptions rest = resumed_from(checkpoint(kSteps));
  rest.save_latent = folder_.path() / "latent.safetensors";
  engine_->render(rest, recorder, recorder.signals);
  EXPECT_TRUE(recorder.steps.empty());
  EXPECT_TRUE(recorder.checkpoints.empty());
  EXPECT_EQ(recorder.stages, (std::vector<std::string>{"text_encode", "denoise", "decode"}));
  EXPECT_EQ(recorder.digest(), whole_);
  EXPECT_TRUE(std::filesystem::exists(*rest.save_latent));
}

TEST_F(ResumeTest, TwoCheckpointsAreAtLeastAPeriodApart) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::milliseconds kPeriod{50}, kStep{20};
  RenderOptions paced = options();
  paced.request.policy = {};
  paced.request.steps = 20;
  paced.checkpoint_period_seconds = std::chrono::duration<double>(kPeriod).count();
  Recorder recorder;
  // `last` is never later than the moment from which the engine counts.
  Clock::time_point stepped = Clock::now(), last = stepped;
  recorder.after_step = [&](int) {
    std::this_thread::sleep_for(kStep);
    stepped = Clock::now();
  };
  recorder.after_checkpoint = [&](int) {
    EXPECT_GE(Clock::now() - last, kPeriod);
    last = stepped;
  };
  engine_->render(paced, recorder, recorder.signals);
  EXPECT_GE(recorder.checkpoints.size(), 2u);

  Recorder unhurried;
  paced.checkpoint_period_seconds = 3600;
  engine_->render(paced, unhurried, unhurried.signals);
  EXPECT_TRUE(unhurried.checkpoints.empty());
}

TEST_F(ResumeTest, AFullDiskOrAMissingFolderCostsNoClip) {
  Recorder full;
  {
    const FileSizeLimit limit(512);
    engine_->render(options(), full, full.signals);
  }
  EXPECT_EQ(full.failures.size(), 4u);
  EXPECT_NE(full.failures.at(0).find("File too large"), std::string::npos) << full.failures.at(0);
  EXPECT_TRUE(full.checkpoints.empty());
  EXPECT_EQ(full.digest(), whole_);
  EXPECT_EQ(folder_.files(), 0u);

  RenderOptions nowhere = options();
  nowhere.checkpoint_folder = folder_.path() / "none";
  Recorder missing;
  engine_->render(nowhere, missing, missing.signals);
  EXPECT_EQ(missing.failures.size(), 4u);
  EXPECT_EQ(missing.digest(), whole_);

  // A cut ends all the same: whoever asked for it is waiting.
  Recorder cut;
  cut.after_step = [&](int) { cut.signals.cut = true; };
  EXPECT_TRUE(is_cut(nowhere, cut));
  EXPECT_EQ(cut.failures.size(), 1u);
  EXPECT_TRUE(cut.checkpoints.empty());
}

TEST_F(ResumeTest, AnUnusableCheckpointIsRefusedBeforeAnythingIsRendered) {
  make_checkpoints();
  const auto refuses = [&](const RenderOptions& options, const std::string& text) {
    Recorder recorder;
    const auto refused = fails([&] { engine_->render(options, recorder, recorder.signals); },
                               ErrorCode::kInvalidCheckpoint, "the checkpoint");
    EXPECT_TRUE(recorder.stages.empty());
    if (!refused) return refused;
    return fails([&] { engine_->render(options, recorder, recorder.signals); },
                 ErrorCode::kInvalidCheckpoint, text);
  };
  const RenderOptions good = resumed_from(checkpoint(2));
  EXPECT_TRUE(refuses(resumed_from(folder_.path() / "none"), "No such file"));
  EXPECT_TRUE(refuses(resumed_from(kModel / "vae/config.json"), "cannot be read"));

  RenderOptions other = good;
  other.request.seed = 8;
  EXPECT_TRUE(refuses(other, "has seed \"7\", this render has \"8\""));
  other = good;
  other.request.prompt = "a blue square";
  EXPECT_TRUE(refuses(other, "has prompt_sha256"));
  other = good;
  other.request.steps = 9;
  EXPECT_TRUE(refuses(other, "has steps \"8\", this render has \"9\""));
  other = good;
  other.request.guidance = 4.5;
  EXPECT_TRUE(refuses(other, "has plan_digest"));
  other = good;
  other.request.policy = {"fora", {}};
  EXPECT_TRUE(refuses(other, "has policy \"toca\", this render has \"fora\""));
  other = good;
  other.request.width = 64;
  EXPECT_TRUE(refuses(other, "has plan_digest"));

  EXPECT_EQ(render(*engine_, good), whole_);
}

TEST_F(ResumeTest, AClipOfAnotherBeginningOrKindIsAnother) {
  RenderOptions given = options();
  given.save_latent = folder_.path() / "latent.safetensors";
  given.checkpoint_folder.clear();
  render(*engine_, given);
  given.initial_latent = given.save_latent;
  given.save_latent.reset();
  const std::string whole = render(*engine_, given);
  EXPECT_NE(whole, whole_);
  given.checkpoint_folder = folder_.path();
  EXPECT_EQ(render(*engine_, given), whole);
  given.resume_from = checkpoint(6);
  EXPECT_EQ(render(*engine_, given), whole);
  const auto code = ErrorCode::kInvalidCheckpoint;
  EXPECT_TRUE(
      fails([&] { render(*engine_, resumed_from(checkpoint(6))); }, code, "initial_latent_sha256"));
  const auto bf16 = Engine::load({.model = kModel, .dtype = DType::kBF16, .threads = 1});
  EXPECT_NE(bf16->info().kind, engine_->info().kind);
  EXPECT_TRUE(fails([&] { render(*bf16, given); }, code, "has kind"));
}

}  // namespace
}  // namespace engine
