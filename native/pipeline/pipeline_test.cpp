// The engine as a whole on the demo model: what it refuses, that it stops when told, and that a
// clip has the same bits whatever was rendered before it and on however many threads.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "engine/error.h"
#include "pipeline/latent_file.h"
#include "pipeline/model_plan.h"
#include "pipeline/request_check.h"
#include "pipeline/test_support.h"

namespace engine {
namespace {

const std::filesystem::path kModel = TOCAFARM_DEMO_MODEL;

ErrorCode code_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorCode::kInternal;
}

class EngineTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { engine_ = Engine::load({.model = kModel, .threads = 2}); }
  static void TearDownTestSuite() { engine_.reset(); }

  static std::string render(Engine& engine, const RenderRequest& request) {
    Recorder recorder;
    engine.render({.request = request, .initial_latent = {}, .save_latent = {}}, recorder,
                  recorder.signals);
    return recorder.digest();
  }

  static std::unique_ptr<Engine> engine_;
};
std::unique_ptr<Engine> EngineTest::engine_;

TEST_F(EngineTest, AClipTellsItsStagesStepsAndFramesInOrder) {
  Recorder recorder;
  const RenderResult result =
      engine_->render({.request = small_request(), .initial_latent = {}, .save_latent = {}},
                      recorder, recorder.signals);
  EXPECT_EQ(recorder.stages, (std::vector<std::string>{"text_encode", "denoise", "decode"}));
  EXPECT_EQ(recorder.steps.size(), 6u);
  EXPECT_EQ(recorder.frames, 17);
  EXPECT_EQ(result.height, 64);
  EXPECT_EQ(recorder.bytes.size(), 17u * 64 * 48 * 3);
}

TEST_F(EngineTest, DriftIsToldWhereACacheThatWasInUseIsRefreshed) {
  RenderRequest request = small_request();
  request.policy.options = {{"warm", "1"}, {"interval", "2"}, {"cross_interval", "4"}};
  Recorder recorder;
  engine_->render({.request = request, .initial_latent = {}, .save_latent = {}}, recorder,
                  recorder.signals);
  std::map<std::tuple<int, BlockKind, Module>, bool> in_use;
  size_t told = 0;
  for (const StepReport& step : recorder.steps) {
    for (const ModuleReport& module : step.modules) {
      bool& used = in_use[{module.layer, module.block, module.module}];
      const bool refreshed = module.decision == Decision::kRefresh;
      ASSERT_EQ(module.drift.has_value(), refreshed && used);
      if (module.drift) {
        EXPECT_GT(*module.drift, 0);
        EXPECT_LT(*module.drift, 2);
        ++told;
      }
      used = !refreshed;
    }
  }
  // Of 6 steps: at 2 and 4, cross-attention at 4.
  EXPECT_EQ(told, in_use.size() * 5 / 3);
}

TEST_F(EngineTest, TheSameSeedGivesTheSameBitsWhateverWasRenderedBefore) {
  const std::string first = render(*engine_, small_request());
  RenderRequest other = small_request();
  other.seed = 8;
  other.frames = 1;
  EXPECT_NE(render(*engine_, other), first);
  EXPECT_EQ(render(*engine_, small_request()), first);
}

TEST_F(EngineTest, TheNumberOfThreadsChangesNoBit) {
  const auto one = Engine::load({.model = kModel, .threads = 1});
  const auto three = Engine::load({.model = kModel, .threads = 3});
  EXPECT_EQ(render(*one, small_request()), render(*engine_, small_request()));
  EXPECT_EQ(render(*three, small_request()), render(*engine_, small_request()));
  EXPECT_EQ(one->info().kind, three->info().kind);
}

TEST_F(EngineTest, EveryTokenFreshGivesWhatNoCacheGives) {
  RenderRequest request = small_request();
  request.policy = {.name = "toca", .options = {{"interval", "1"}, {"cross_interval", "1"}}};
  const std::string fresh = render(*engine_, request);
  request.policy = {};
  EXPECT_EQ(render(*engine_, request), fresh);
}

TEST_F(EngineTest, ACancelledRenderStopsAndTheNextOneIsAsIfNothingHadBeen) {
  const std::string whole = render(*engine_, small_request());
  Recorder recorder;
  recorder.after_step = [&](int step) { recorder.signals.cancelled = step == 2; };
  EXPECT_EQ(code_of([&] {
              engine_->render({.request = small_request(), .initial_latent = {}, .save_latent = {}},
                              recorder, recorder.signals);
            }),
            ErrorCode::kCancelled);
  EXPECT_EQ(recorder.steps.size(), 3u);
  EXPECT_EQ(render(*engine_, small_request()), whole);
}

TEST_F(EngineTest, AnInitialLatentReplaysAClip) {
  const auto folder = std::filesystem::temp_directory_path() / "tocafarm-pipeline-test";
  std::filesystem::create_directories(folder);
  RenderOptions options{.request = small_request(),
                        .initial_latent = {},
                        .save_latent = folder / "saved.safetensors"};
  Recorder recorder;
  engine_->render(options, recorder, recorder.signals);
  const Tensor saved = read_latent(*options.save_latent, Shape{1, 4, 5, 8, 6});
  EXPECT_EQ(saved.elements(), 4 * 5 * 8 * 6);

  options.save_latent.reset();
  options.initial_latent = folder / "saved.safetensors";
  options.request.height = 80;
  EXPECT_EQ(code_of([&] { engine_->render(options, recorder, recorder.signals); }),
            ErrorCode::kInvalidArgument);
  std::filesystem::remove_all(folder);
}

TEST_F(EngineTest, IndicesAreReportedOnlyWhenAskedFor) {
  Recorder recorder;
  RenderOptions options{.request = small_request(), .initial_latent = {}, .save_latent = {}};
  engine_->render(options, recorder, recorder.signals);
  for (const StepReport& step : recorder.steps) {
    for (const ModuleReport& module : step.modules) EXPECT_TRUE(module.indices.empty());
  }
}

TEST(RequestCheck, NamesTheFieldTheValueAndTheBounds) {
  RenderRequest request = small_request();
  request.steps = 0;
  try {
    check_request(request);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()), "steps 0 is outside 1..1000; 30 is usual");
  }
  request = small_request();
  request.guidance = std::nan("");
  EXPECT_EQ(code_of([&] { check_request(request); }), ErrorCode::kInvalidArgument);
}

TEST(EngineLoad, RefusesDevicesAndFoldersThatAreNotThere) {
  EXPECT_EQ(code_of([] { Engine::load({.model = kModel, .device = "tpu"}); }),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of([] { Engine::load({.model = kModel, .device = "cuda:0"}); }),
            ErrorCode::kUnsupported);
  EXPECT_EQ(code_of([] { Engine::load({.model = kModel, .threads = -1}); }),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of([] { Engine::load({.model = "/nowhere"}); }), ErrorCode::kNotFound);
}

TEST(ModelPlan, AnAbsurdSizeIsPlannedNotAllocated) {
  RenderRequest request = small_request();
  request.height = 8192;
  request.width = 8192;
  request.frames = 4096;
  const Plan plan = make_plan(read_model_configs(kModel), request, DType::kF32);
  EXPECT_GT(plan.peak_bytes, uint64_t{1} << 40);
}

TEST(ModelDigest, IsThatOfTheWeightsAlone) {
  EXPECT_EQ(model_digest(kModel).size(), 64u);
  EXPECT_EQ(code_of([] { model_digest("/nowhere"); }), ErrorCode::kNotFound);
}

}  // namespace
}  // namespace engine
