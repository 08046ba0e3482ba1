// Two clips on one device: who computes when, and that a clip has the same bits beside another one
// as alone, whatever becomes of that.
#include "pipeline/lanes.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "engine/error.h"
#include "pipeline/render_checkpoint.h"
#include "pipeline/test_support.h"

namespace engine {
namespace {

const auto kNever = [] { return false; };

TEST(Lanes, ComputeOneAfterTheOtherAndTheOlderClipGoesFirst) {
  Lanes lanes(/*side_by_side=*/false);
  auto denoising = std::make_unique<Turn>(lanes, Lane::kDenoising, kNever);
  std::atomic<int> computing{1}, decoded{0};
  std::thread finishing([&] {
    const Turn turn(lanes, Lane::kFinishing, kNever);
    EXPECT_EQ(++computing, 1);
    decoded = 1;
    --computing;
  });
  // Whether the thread waits already is not to be seen; once it does, an offer lets it go first.
  while (decoded == 0) {
    --computing;
    denoising->offer();
    EXPECT_EQ(++computing, 1);
  }
  denoising.reset();
  finishing.join();
}

TEST(Lanes, ALaneThatWaitsForItsEncoderLetsTheOtherOneCompute) {
  Lanes lanes(/*side_by_side=*/false);
  Turn finishing(lanes, Lane::kFinishing, kNever);
  std::promise<void> stepped;
  std::thread denoising([&] {
    const Turn turn(lanes, Lane::kDenoising, kNever);
    stepped.set_value();
  });
  finishing.without([&] {
    EXPECT_EQ(stepped.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
  });
  denoising.join();
  EXPECT_GT(finishing.seconds_waited(), 0);
}

TEST(Lanes, OfADeviceWithStreamsDoNotWaitForEachOther) {
  Lanes lanes(/*side_by_side=*/true);
  const Turn denoising(lanes, Lane::kDenoising, kNever);
  const Turn finishing(lanes, Lane::kFinishing, kNever);
  EXPECT_LT(finishing.seconds_waited(), 0.1);
}

TEST(Lanes, ALaneThatWaitsIsStopped) {
  Lanes lanes(/*side_by_side=*/false);
  {
    const Turn finishing(lanes, Lane::kFinishing, kNever);
    std::atomic<int> looks{0};
    const auto third_time = [&] { return ++looks > 2; };
    EXPECT_THROW(Turn(lanes, Lane::kDenoising, third_time), Error);
  }
  const Turn denoising(lanes, Lane::kDenoising, kNever);  // nothing is left behind
}

TEST(Lanes, AClipThatDoesNotFitBesideTheOneBeforeWaitsForItsEnd) {
  Lanes lanes(/*side_by_side=*/true);
  const auto fits = [](uint64_t finishing) { return finishing + 5 <= 10; };
  lanes.expect_finishing(5);
  lanes.await_room(fits, kNever);
  lanes.expect_finishing(1);
  EXPECT_THROW(lanes.await_room(fits, [] { return true; }), Error);
  std::thread ends([&] { lanes.end_finishing(1); });
  lanes.await_room(fits, kNever);
  ends.join();
  lanes.end_finishing(5);
  lanes.await_room([](uint64_t) { return false; }, kNever);  // alone it is judged by its plan
}

// Takes frames slowly enough that the other lane gets its turn between them.
class SlowRecorder : public Recorder {
 public:
  void on_frames(ConstTensorView rgb, int first) override {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    Recorder::on_frames(rgb, first);
  }
  bool has_room() const override { return false; }
};

class TwoClips : public testing::TestWithParam<int> {
 protected:
  RenderOptions options(uint64_t seed) const {
    RenderOptions options{.request = small_request(), .initial_latent = {}, .save_latent = {}};
    options.request.seed = seed;
    options.request.policy.options = {{"warm", "1"}};
    options.request.height = options.request.width = 32;
    options.request.frames = 34;
    return options;
  }

  std::string alone(uint64_t seed) {
    Recorder recorder;
    engine_->render(options(seed), recorder, recorder.signals);
    return recorder.digest();
  }

  // Finishes `older` while `work` is done on the denoising lane; returns how finishing failed.
  std::optional<ErrorCode> beside(std::unique_ptr<DenoisedClip> older,
                                  const std::function<void()>& work) {
    std::optional<ErrorCode> failure;
    std::thread finishing([&] {
      try {
        engine_->finish(std::move(older));
      } catch (const Error& error) {
        failure = error.code();
      }
    });
    work();
    finishing.join();
    return failure;
  }

  std::unique_ptr<Engine> engine_ =
      Engine::load({.model = TOCAFARM_DEMO_MODEL, .threads = GetParam()});
};

TEST_P(TwoClips, HaveTheBitsOfClipsRenderedAlone) {
  std::vector<SlowRecorder> recorders(3);
  const RenderSignals quiet;
  std::unique_ptr<DenoisedClip> older = engine_->denoise(options(0), recorders[0], quiet);
  for (size_t i = 1; i < recorders.size(); ++i) {
    std::unique_ptr<DenoisedClip> next;
    const auto denoise = [&] { next = engine_->denoise(options(i), recorders[i], quiet); };
    EXPECT_EQ(beside(std::move(older), denoise), std::nullopt);
    older = std::move(next);
  }
  engine_->finish(std::move(older));
  for (size_t i = 0; i < recorders.size(); ++i) {
    EXPECT_EQ(recorders[i].digest(), alone(i)) << "clip " << i;
    EXPECT_EQ(recorders[i].stages, (std::vector<std::string>{"text_encode", "denoise", "decode"}));
  }
}

TEST_P(TwoClips, AreNotTouchedByWhatBecomesOfTheOther) {
  const RenderSignals quiet;
  SlowRecorder thrown, cancelled, kept;
  thrown.after_frames = [](int) { throw Error(ErrorCode::kIo, "the disk is full"); };
  auto older = engine_->denoise(options(1), thrown, quiet);
  std::unique_ptr<DenoisedClip> next;
  EXPECT_EQ(beside(std::move(older), [&] { next = engine_->denoise(options(2), kept, quiet); }),
            ErrorCode::kIo);
  // The next one is finished while a third is cancelled in denoising.
  cancelled.after_step = [&](int step) { cancelled.signals.cancelled = step == 2; };
  const auto denoise = [&] { engine_->denoise(options(3), cancelled, cancelled.signals); };
  EXPECT_EQ(beside(std::move(next), [&] { EXPECT_THROW(denoise(), Error); }), std::nullopt);
  EXPECT_EQ(kept.digest(), alone(2));
}

TEST_P(TwoClips, CanBeCutOneByOneAndGoOnWithTheSameBits) {
  const TemporaryFolder folder;
  RenderOptions kept = options(1);
  kept.checkpoint_folder = folder.path();
  kept.checkpoint_period_seconds = 3600;
  SlowRecorder cut, other;
  cut.after_frames = [&](int) { cut.signals.cut = true; };
  auto older = engine_->denoise(kept, cut, cut.signals);
  std::unique_ptr<DenoisedClip> next;
  const RenderSignals quiet;
  EXPECT_EQ(beside(std::move(older), [&] { next = engine_->denoise(options(2), other, quiet); }),
            ErrorCode::kInterrupted);
  engine_->finish(std::move(next));
  EXPECT_EQ(other.digest(), alone(2));
  kept.resume_from = folder.path() / render_checkpoint_name(kept.request.steps);
  Recorder rest;
  engine_->render(kept, rest, quiet);
  EXPECT_EQ(rest.digest(), alone(1));
}

INSTANTIATE_TEST_SUITE_P(Threads, TwoClips, testing::Values(1, 2));

}  // namespace
}  // namespace engine
