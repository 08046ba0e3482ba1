// PixArt-alpha and DiT in a whole engine, on tiny random models in their published layouts: what is
// computed is what was planned, a picture has the same bits from every checkpoint, and a class is
// what the model folder calls it.
#include <gtest/gtest.h>

#include "engine/error.h"
#include "pipeline/image_test_support.h"
#include "pipeline/model_family.h"
#include "pipeline/model_plan.h"

namespace engine {
namespace {

struct ImageCase {
  std::string family, sampler, prompt;
};

RenderRequest request_of(const ImageCase& of, const PolicySpec& policy = {}) {
  RenderRequest request;
  request.prompt = of.prompt;
  request.frames = 1;
  request.height = 128;
  request.width = 128;
  request.steps = 6;
  request.guidance = 3;
  request.seed = 5;
  request.sampler = of.sampler;
  request.policy = policy;
  return request;
}

std::vector<PolicySpec> policies() {
  return {{"none", {}},
          {"fora", {}},
          {"toca", {}},
          {"toca", {{"fidelity", "upstream"}}},
          {"duca", {}},
          {"taylorseer", {}},
          {"clusca", {}},
          {"fastercache", {}},
          {"mask+toca", {{"compute", "0,2-4"}}}};
}

class ImageEngineTest : public testing::TestWithParam<ImageCase> {
 protected:
  ImageEngineTest()
      : model_(GetParam().family), engine_(Engine::load({.model = model_.path(), .threads = 1})) {}

  RenderOptions options(const PolicySpec& policy = {}) const {
    return {.request = request_of(GetParam(), policy),
            .initial_latent = {},
            .save_latent = {},
            .checkpoint_folder = folder_.path(),
            .checkpoint_period_seconds = 0};
  }
  static std::string render(Engine& engine, const RenderOptions& options) {
    Recorder recorder;
    engine.render(options, recorder, recorder.signals);
    EXPECT_EQ(recorder.frames, 1);
    return recorder.digest();
  }

  ImageModelFolder model_;
  TemporaryFolder folder_;
  std::unique_ptr<Engine> engine_;
};

TEST_P(ImageEngineTest, ARecordingTellsWhatLeavingAStepOutDoes) {
  const RenderRequest request = request_of(GetParam());
  const PolicySpec without_third{.name = "mask", .options = {{"compute", "0-2,4-5"}}};
  const RenderSignals signals;
  const PassProgress ignore = [](int, int) {};
  const std::vector<StepRecord> steps = engine_->record(request, signals, ignore);
  ASSERT_EQ(steps.size(), 6);
  EXPECT_GT(steps[3].output, 0);
  // What the sampler carries from step to step is taken along.
  EXPECT_EQ(steps[3].output,
            engine_->compare(request, {without_third}, signals, ignore).front().mean_absolute);
}

TEST_P(ImageEngineTest, WhatItComputesIsWhatItsPlanSaid) {
  for (const PolicySpec& policy : policies()) {
    const RenderOptions asked = options(policy);
    const Plan plan = make_plan(read_model_configs(model_.path()), asked.request, DType::kF32);
    Recorder recorder;
    const RenderResult result = engine_->render(asked, recorder, recorder.signals);
    EXPECT_EQ(result.height, 128);
    EXPECT_EQ(recorder.bytes.size(), 128u * 128 * 3);
    ASSERT_EQ(recorder.steps.size(), plan.steps.size());
    double flops = 0;
    for (size_t step = 0; step < plan.steps.size(); ++step) {
      const StepReport& report = recorder.steps[step];
      const PlannedStep& planned = plan.steps[step];
      EXPECT_EQ(report.flops, planned.flops) << policy.name << " step " << step;
      EXPECT_EQ(report.timestep, planned.timestep);
      EXPECT_EQ(report.trunk, planned.trunk);
      ASSERT_EQ(report.modules.size(), planned.modules.size());
      for (size_t i = 0; i < planned.modules.size(); ++i) {
        EXPECT_EQ(report.modules[i].block, BlockKind::kJoint);
        EXPECT_EQ(report.modules[i].decision, planned.modules[i].decision);
        EXPECT_EQ(report.modules[i].flops, planned.modules[i].flops);
        EXPECT_EQ(report.modules[i].tokens_computed,
                  computed_halves(planned.modules[i].decision) * planned.modules[i].tokens);
      }
      flops += report.flops;
    }
    EXPECT_EQ(flops, plan.flops) << policy.name;
  }
}

TEST_P(ImageEngineTest, AVerifiedForecastCostsTheLastLayer) {
  const RenderOptions asked =
      options({"speca", {{"warm", "2"}, {"min", "1"}, {"tau", "10"}, {"decay", "1"}}});
  const Plan plan = make_plan(read_model_configs(model_.path()), asked.request, DType::kF32);
  Recorder recorder;
  engine_->render(asked, recorder, recorder.signals);
  ASSERT_EQ(recorder.steps.size(), plan.steps.size());
  for (size_t step = 0; step < plan.steps.size(); ++step) {
    const std::vector<PlannedModule>& modules = plan.steps[step].modules;
    double flops = 0;
    for (const PlannedModule& module : modules) {
      if (step < 2 || module.layer == modules.back().layer) flops += module.flops;
    }
    EXPECT_EQ(recorder.steps[step].flops, flops) << step;
  }
}

TEST_P(ImageEngineTest, EveryCheckpointLeadsToTheSameBits) {
  const auto other = Engine::load({.model = model_.path(), .threads = 2});
  const PolicySpec dynamic{"teacache", {{"delta", "0.3"}, {"polynomial", "1,0"}}};
  const PolicySpec halves{"fastercache", {}};
  for (const PolicySpec& policy : {PolicySpec{}, PolicySpec{"toca", {}}, dynamic, halves}) {
    Recorder recorder;
    engine_->render(options(policy), recorder, recorder.signals);
    EXPECT_GT(recorder.checkpoints.size(), 1u) << policy.name;
    for (const RenderCheckpoint& from : recorder.checkpoints) {
      RenderOptions rest = options(policy);
      rest.resume_from = from.file;
      rest.checkpoint_folder.clear();
      EXPECT_EQ(render(*other, rest), recorder.digest()) << policy.name << " from " << from.step;
    }
  }
}

TEST_P(ImageEngineTest, SeedAndPromptDecideThePicture) {
  const std::string first = render(*engine_, options());
  RenderOptions other = options();
  other.request.seed = 6;
  EXPECT_NE(render(*engine_, other), first);
  other = options();
  other.request.prompt = GetParam().family == "dit" ? "4" : "a blue square";
  EXPECT_NE(render(*engine_, other), first);
  EXPECT_EQ(render(*engine_, options()), first);
}

INSTANTIATE_TEST_SUITE_P(Models, ImageEngineTest,
                         testing::Values(ImageCase{"pixart", "", "a red circle"},
                                         ImageCase{"dit", "", "3"}, ImageCase{"dit", "ddpm", "3"}),
                         [](const auto& info) { return info.param.family + info.param.sampler; });

TEST(DitEngine, KnowsItsClassesByTheNamesOfTheFolder) {
  const ImageModelFolder model("dit");
  const auto engine = Engine::load({.model = model.path(), .threads = 1});
  const auto render = [&](const std::string& prompt) {
    Recorder recorder;
    engine->render(
        {.request = request_of({"dit", "", prompt}), .initial_latent = {}, .save_latent = {}},
        recorder, recorder.signals);
    return recorder.digest();
  };
  EXPECT_EQ(render("Bull"), render("3"));
  EXPECT_NE(render("cow"), render("3"));
  EXPECT_TRUE(fails([&] { render("goat"); }, ErrorCode::kInvalidArgument,
                    "\"goat\" is no class of this model; similar are"));
}

// Without a null caption in the weights, guidance is away from the empty prompt: where the prompt
// is that itself, it changes nothing. The original layout's null caption is another.
TEST(PixartEngine, IsGuidedAwayFromTheEmptyPromptInDiffusersLayout) {
  ImageModelFolder model("pixart");
  const auto render = [&](const std::string& prompt, double guidance) {
    RenderRequest request = request_of({"pixart", "", prompt});
    request.guidance = guidance;
    Recorder recorder;
    Engine::load({.model = model.path(), .threads = 1})
        ->render({.request = request, .initial_latent = {}, .save_latent = {}}, recorder,
                 recorder.signals);
    return recorder.digest();
  };
  EXPECT_NE(render("", 1), render("", 7));
  model.make_diffusers();
  EXPECT_EQ(render("", 1), render("", 7));
  EXPECT_NE(render("a red circle", 1), render("a red circle", 7));
}

TEST(PixartEngine, TakesAnyShape) {
  const ImageModelFolder model("pixart");
  const auto engine = Engine::load({.model = model.path(), .threads = 1});
  RenderRequest request = request_of({"pixart", "", "a red circle"});
  request.width = 72;
  Recorder recorder;
  const RenderResult result = engine->render(
      {.request = request, .initial_latent = {}, .save_latent = {}}, recorder, recorder.signals);
  EXPECT_EQ(result.width, 72);
  EXPECT_EQ(recorder.bytes.size(), 128u * 72 * 3);
}

}  // namespace
}  // namespace engine
