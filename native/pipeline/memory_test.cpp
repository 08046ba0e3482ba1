// What a clip takes of an engine's memory it gives back: at its end, when it is cancelled, and when
// it fails in any stage. Counted at the backend for every kind of model, and for the engine as a
// whole by what the process has allocated.
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>

#include "backend/cpu/cpu_backend.h"
#include "core/json.h"
#include "engine/error.h"
#include "pipeline/image_test_support.h"
#include "pipeline/model_family.h"
#include "pipeline/model_plan.h"
#include "samplers/noise.h"

namespace engine {
namespace {

// A CPU that counts what it has given out, has no more than it is told, and fails on request.
class CountingBackend : public cpu::CpuBackend {
 public:
  CountingBackend() : CpuBackend({.threads = 1, .isa = ""}) {}

  Tensor allocate(Shape shape, DType dtype) override {
    auto tensor = std::make_shared<Tensor>(CpuBackend::allocate(shape, dtype));
    if (*live_ + tensor->bytes() > limit) throw Error(ErrorCode::kOutOfMemory, "no room is left");
    *live_ += tensor->bytes();
    most = std::max(most, *live_);
    return {tensor->view().data(), shape, dtype,
            [tensor, live = live_](void*) { *live -= tensor->bytes(); }};
  }
  void linear_residual(const LinearResidualArgs& args) override {
    fail_if_asked();
    CpuBackend::linear_residual(args);
  }
  void residual_add(const ResidualAddArgs& args) override {
    fail_if_asked();
    CpuBackend::residual_add(args);
  }
  uint64_t live() const { return *live_; }

  uint64_t limit = std::numeric_limits<uint64_t>::max();
  uint64_t most = 0;
  int64_t calls_until_failure = 0;  // 0: never

 private:
  void fail_if_asked() {
    if (--calls_until_failure == 0)
      throw Error(ErrorCode::kOutOfMemory, "the device has no memory");
  }

  std::shared_ptr<uint64_t> live_ = std::make_shared<uint64_t>(0);
};

struct MemoryCase {
  std::string family;
  PolicySpec policy;
};

constexpr int kFailingStep = 2;

class MemoryTest : public testing::TestWithParam<MemoryCase> {
 protected:
  MemoryTest()
      : path_(is_video() ? std::filesystem::path(TOCAFARM_DEMO_MODEL) : images_->path()),
        configs_(read_model_configs(path_)),
        family_(model_family(configs_)),
        parts_(backend_, path_, nullptr),
        model_(family_->load(parts_, DType::kF32)) {
    request_ = small_request();
    request_.policy = GetParam().policy;
    if (is_video()) return;
    request_.frames = 1;
    request_.height = request_.width = 128;
    if (GetParam().family == "dit") request_.prompt = "7";
  }

  bool is_video() const { return !images_; }

  // A whole clip, stage by stage as the engine does it.
  void render(
      const std::function<bool()>& cancelled = {},
      const std::function<void(const StepReport&)>& on_step = {},
      const VaeFrameSink& sink = [](int64_t, ConstTensorView) {}) {
    const Conditions conditions = model_->condition(request_.prompt, cancelled);
    const LatentSize size = latent_size(request_);
    Tensor noise({1, family_->latent_channels(), size.frames, size.height, size.width},
                 DType::kF32);
    fill_initial_latent(noise, request_.seed);
    const Tensor latent = model_->denoise({.request = &request_,
                                           .conditions = &conditions,
                                           .initial_latent = noise,
                                           .initial_history = {},
                                           .cancelled = cancelled,
                                           .on_step = on_step});
    const VaeHooks hooks{.cancelled = cancelled, .tap = {}};
    try {
      model_->decode(latent, request_.frames, sink, hooks);
    } catch (...) {
      model_->release_workspace();
      throw;
    }
    model_->release_workspace();
  }

  std::optional<ImageModelFolder> images_ =
      GetParam().family == "stdit3" ? std::nullopt
                                    : std::optional<ImageModelFolder>(GetParam().family);
  std::filesystem::path path_;
  ModelConfigs configs_;
  CountingBackend backend_;
  std::unique_ptr<ModelFamily> family_;
  ModelParts parts_;
  std::unique_ptr<ClipModel> model_;
  RenderRequest request_;
};

TEST_P(MemoryTest, AClipGivesBackWhatItTookHoweverItEnds) {
  const uint64_t before = backend_.live();
  for (int clip = 0; clip < 2; ++clip) {
    render();
    EXPECT_EQ(backend_.live(), before) << "after clip " << clip;
  }
  // It had taken what its plan says of the cache, and more.
  const Plan plan = make_plan(configs_, request_, DType::kF32);
  EXPECT_GT(plan.cache_bytes, 0u);
  EXPECT_GT(backend_.most, before + plan.cache_bytes);

  bool stop = false;
  const auto at_step = [](const std::function<void()>& act) {
    return [act](const StepReport& report) {
      if (report.step == kFailingStep) act();
    };
  };
  EXPECT_THROW(render([&] { return stop; }, at_step([&] { stop = true; })), Error);
  EXPECT_EQ(backend_.live(), before) << "after it was cancelled in denoising";
  EXPECT_THROW(render({}, at_step([] { throw std::runtime_error("a callback's own"); })),
               std::runtime_error);
  EXPECT_EQ(backend_.live(), before) << "after a callback threw";
  EXPECT_THROW(render({}, at_step([&] { backend_.calls_until_failure = 5; })), Error);
  EXPECT_EQ(backend_.live(), before) << "after the device failed in a step";
  EXPECT_THROW(render({}, {}, [](int64_t, ConstTensorView) { throw std::runtime_error("full"); }),
               std::runtime_error);
  EXPECT_EQ(backend_.live(), before) << "after nobody took its frames";
}

TEST_P(MemoryTest, ADecodeTakesTheBytesThatItsPlanSays) {
  const LatentSize size = latent_size(request_);
  Tensor latent({1, family_->latent_channels(), size.frames, size.height, size.width}, DType::kF32);
  fill_initial_latent(latent, request_.seed);
  const uint64_t before = backend_.most = backend_.live();
  uint64_t host = 0;  // frames on their way to the sink, no memory of the device
  const auto sink = [&](int64_t, ConstTensorView rgb8) {
    host = std::max<uint64_t>(host, rgb8.bytes());
  };
  model_->decode(latent, request_.frames, sink, {});
  model_->release_workspace();
  const Json vae = parse_json(configs_.vae, "vae/config.json");
  EXPECT_EQ(backend_.most - before + host, family_->vae_bytes(vae, DType::kF32, &request_).decode);
}

TEST_P(MemoryTest, WhereverMemoryRunsOutWhatWasTakenIsGivenBack) {
  const uint64_t before = backend_.live();
  render();
  const uint64_t needed = backend_.most - before;
  for (const uint64_t sixteenths : {1, 4, 9, 15}) {
    backend_.limit = before + needed * sixteenths / 16;
    EXPECT_THROW(render(), Error);
    EXPECT_EQ(backend_.live(), before) << "with " << sixteenths << " sixteenths of what it needs";
  }
  backend_.limit = before + needed;
  render();
  EXPECT_EQ(backend_.live(), before);
}

INSTANTIATE_TEST_SUITE_P(
    Models, MemoryTest,
    testing::Values(MemoryCase{"stdit3", {"toca", {{"warm", "1"}}}},
                    MemoryCase{"stdit3", {"taylorseer", {{"cache_dtype", "fp8"}}}},
                    MemoryCase{"stdit3", {"teacache+fora", {{"warm", "1"}}}},
                    MemoryCase{"pixart", {"duca", {}}}, MemoryCase{"dit", {"toca", {}}}),
    [](const auto& info) { return info.param.family + std::to_string(info.index); });

// What the process has allocated, in every arena and mapping.
uint64_t allocated_bytes() {
  const auto info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

TEST(EngineMemory, AnEngineHasAfterAClipWhatItHadBeforeHoweverItEnded) {
  // A clip takes megabytes; what threads and strings keep is far less.
  constexpr uint64_t kNoiseBytes = 128 * 1024;
  const auto engine = Engine::load({.model = TOCAFARM_DEMO_MODEL, .threads = 1});
  const RenderOptions options{.request = small_request(), .initial_latent = {}, .save_latent = {}};
  const uint64_t cache =
      make_plan(read_model_configs(TOCAFARM_DEMO_MODEL), options.request, DType::kF32).cache_bytes;
  ASSERT_GT(cache, 8 * kNoiseBytes);
  const auto render = [&](const std::function<void(Recorder&)>& prepare) {
    Recorder recorder;
    prepare(recorder);
    engine->render(options, recorder, recorder.signals);
  };
  const auto nothing = [](Recorder&) {};
  render(nothing);
  const uint64_t before = allocated_bytes();
  const auto expect_same = [&](const char* what) {
    EXPECT_LT(allocated_bytes(), before + kNoiseBytes) << what;
  };
  render(nothing);
  expect_same("after a clip");
  EXPECT_THROW(render([](Recorder& recorder) {
                 recorder.after_step = [&](int step) { recorder.signals.cancelled = step == 2; };
               }),
               Error);
  expect_same("after it was cancelled");
  EXPECT_THROW(render([](Recorder& recorder) {
                 recorder.after_step = [](int) { throw std::runtime_error("a callback's own"); };
               }),
               std::runtime_error);
  expect_same("after a step that nobody took");
  EXPECT_THROW(render([](Recorder& recorder) {
                 recorder.after_frames = [](int) { throw std::runtime_error("a callback's own"); };
               }),
               std::runtime_error);
  expect_same("after frames that nobody took");
}

}  // namespace
}  // namespace engine
