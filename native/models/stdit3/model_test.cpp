// Promises of the cache contract, to the bit, on the tiny golden model; its numbers are held to the
// reference by the golden cases.
#include "models/stdit3/model.h"

#include <gtest/gtest.h>

#include <cstring>

#include "engine/error.h"
#include "samplers/noise.h"
#include "samplers/rectified_flow.h"

namespace engine {
namespace {

constexpr int kSteps = 8;

// The fast backend where there is one: the promises are made of it.
std::unique_ptr<Backend> make_backend(int threads = 1) {
#ifdef TOCAFARM_HAS_CPU
  return make_cpu_backend({.threads = threads, .isa = ""});
#else
  static_cast<void>(threads);
  return make_plain_backend();
#endif
}

class STDiT3Test : public testing::Test {
 protected:
  STDiT3Test() : backend_(make_backend()), weights_(load_tiny()) {}

  STDiT3Weights load_tiny() {
    return load_stdit3(std::string(TOCAFARM_TEST_DATA) + "/models/stdit3-tiny", *backend_,
                       DType::kF32);
  }

  struct Clip {
    uint64_t seed;
    int64_t text_tokens;
  };

  // Runs steps [first, last) of a batch on `latent` (made from the seeds when empty).
  Tensor run(const std::vector<Clip>& clips, const PolicySpec& spec, int first = 0,
             int last = kSteps, const Tensor* start = nullptr, const StepHooks& hooks = {},
             ConstTensorView frame_mask = {}) {
    const auto policy =
        make_policy(spec, {.steps = kSteps, .depth = weights_.config.depth, .tokens = 12});
    return run_policy(clips, *policy, first, last, start, hooks, frame_mask);
  }

  Tensor run_policy(const std::vector<Clip>& clips, const CachePolicy& policy, int first = 0,
                    int last = kSteps, const Tensor* start = nullptr, const StepHooks& hooks = {},
                    ConstTensorView frame_mask = {}) {
    const auto n = static_cast<int64_t>(clips.size());
    const STDiT3Shape shape{.clips = n,
                            .latent_frames = 2,
                            .latent_height = 4,
                            .latent_width = 5,
                            .pixel_height = 32,
                            .pixel_width = 40};
    STDiT3 model(*backend_, weights_, shape, policy);
    const STDiT3Text text = encode(clips);
    const std::vector<float> fps(clips.size(), 24.0f);
    model.condition(text, fps);
    model.seed(seeds_of(clips));

    Tensor latent({n, 4, 2, 4, 5}, DType::kF32);
    for (int64_t i = 0; i < n; ++i) {
      fill_initial_latent(latent.view().rows(i, 1), clips[static_cast<size_t>(i)].seed);
    }
    if (start != nullptr) std::memcpy(latent.f32(), start->f32(), latent.bytes());
    RectifiedFlow sampler(*backend_,
                          rectified_flow_timesteps({.steps = kSteps,
                                                    .pixel_height = 32,
                                                    .pixel_width = 40,
                                                    .frames = 5,
                                                    .latent_frames = 2}),
                          7.0, latent.shape(), frame_mask);
    const VelocityModel velocity = [&](const VelocityRequest& request) {
      const std::vector<float> times(clips.size(), request.timestep);
      return model.step({.step = request.step,
                         .latent = request.latent,
                         .timesteps = times,
                         .x_mask = request.x_mask},
                        hooks);
    };
    const NoiseSource noise = [&](int step, TensorView out) {
      fill_step_noise(out, clips[0].seed, step);
    };
    for (int step = first; step < last; ++step) sampler.step(step, latent, velocity, noise);
    return latent;
  }

  static std::vector<uint64_t> seeds_of(const std::vector<Clip>& clips) {
    std::vector<uint64_t> seeds;
    for (const Clip& clip : clips) seeds.push_back(clip.seed);
    return seeds;
  }

  STDiT3Text encode(const std::vector<Clip>& clips) {
    const auto n = static_cast<int64_t>(clips.size());
    const int64_t length = 6, width = weights_.config.caption_channels;
    Tensor captions({n, length, width}, DType::kF32), mask({n, length}, DType::kI32);
    for (int64_t clip = 0; clip < n; ++clip) {
      const Clip& each = clips[static_cast<size_t>(clip)];
      float* const rows = captions.f32() + clip * length * width;
      fill_initial_latent(TensorView(rows, DType::kF32, {1, 1, 1, length, width}), each.seed + 100);
      for (int64_t i = 0; i < length; ++i) {
        mask.view().i32()[clip * length + i] = i < each.text_tokens;
      }
    }
    return encode_captions(*backend_, weights_, captions, mask, true);
  }

  static bool same_bits(ConstTensorView a, ConstTensorView b) {
    return a.bytes() == b.bytes() && std::memcmp(a.data(), b.data(), a.bytes()) == 0;
  }

  std::unique_ptr<Backend> backend_;
  STDiT3Weights weights_;
};

TEST_F(STDiT3Test, TocaWithEveryStepFullGivesTheBitsOfNone) {
  const Tensor none = run({{1, 3}}, {});
  EXPECT_TRUE(
      same_bits(none, run({{1, 3}}, {"toca", {{"interval", "1"}, {"cross_interval", "1"}}})));
  EXPECT_FALSE(same_bits(none, run({{1, 3}}, {"toca", {}})));
}

TEST_F(STDiT3Test, RecomputingEveryTokenGivesTheBitsOfARefresh) {
  // Only the MLP is off its timetable, and every token of it is selected.
  const PolicySpec all_fresh{"toca",
                             {{"interval", "1"},
                              {"cross_interval", "1"},
                              {"mlp_interval", "100"},
                              {"warm", "1"},
                              {"schedule", "constant"},
                              {"fresh_ratio", "1"}}};
  EXPECT_TRUE(same_bits(run({{1, 3}}, {}), run({{1, 3}}, all_fresh)));
  PolicySpec cross = all_fresh;
  cross.options["cross_interval"] = "100";
  EXPECT_TRUE(same_bits(run({{1, 3}}, {}), run({{1, 3}}, cross)));
}

TEST_F(STDiT3Test, ClipsOfABatchHaveTheBitsTheyHaveAlone) {
  for (const PolicySpec& spec : {PolicySpec{}, PolicySpec{"toca", {{"fresh_ratio", "0.3"}}}}) {
    const Tensor batch = run({{1, 3}, {2, 6}}, spec);
    EXPECT_TRUE(same_bits(batch.view().rows(0, 1), run({{1, 3}}, spec)));
    EXPECT_TRUE(same_bits(batch.view().rows(1, 1), run({{2, 6}}, spec)));
  }
}

PolicySpec ranked_by(const char* score) {
  return {"toca", {{"fresh_ratio", "0.3"}, {"score", score}}};
}

TEST_F(STDiT3Test, EveryScoreRanksTheTokensOfAClipAsItDoesAlone) {
  std::vector<Tensor> results;
  for (const char* const score :
       {"entropy", "norm", "similarity", "attention", "value_norm", "random"}) {
    const Tensor batch = run({{1, 3}, {2, 6}}, ranked_by(score));
    results.push_back(run({{2, 6}}, ranked_by(score)));
    EXPECT_TRUE(same_bits(batch.view().rows(1, 1), results.back())) << score;
    for (size_t i = 0; i + 1 < results.size(); ++i) {
      EXPECT_FALSE(same_bits(results[i], results.back())) << score;
    }
  }
}

TEST_F(STDiT3Test, TheNumberOfThreadsChangesNoBit) {
  std::vector<PolicySpec> specs{{"pab", {}}};
  for (const char* const score : {"entropy", "attention", "value_norm", "random"}) {
    specs.push_back(ranked_by(score));
  }
  std::vector<Tensor> one;
  for (const PolicySpec& spec : specs) one.push_back(run({{1, 3}, {2, 6}}, spec));
  backend_ = make_backend(3);
  weights_ = load_tiny();
  for (size_t i = 0; i < specs.size(); ++i) {
    EXPECT_TRUE(same_bits(one[i], run({{1, 3}, {2, 6}}, specs[i]))) << i;
  }
}

TEST_F(STDiT3Test, PabReusesWholeModules) {
  const Tensor none = run({{1, 3}}, {});
  EXPECT_FALSE(same_bits(none, run({{1, 3}}, {"pab", {}})));
  // Nothing lies between 500 and 500.
  const PolicySpec never{"pab", {{"window_low", "500"}, {"window_high", "500"}}};
  EXPECT_TRUE(same_bits(none, run({{1, 3}}, never)));
}

TEST_F(STDiT3Test, APolicyThatNeverSkipsGivesTheBitsOfNone) {
  const Tensor none = run({{1, 3}}, {});
  const std::map<std::string, std::string> every{{"interval", "1"}};
  const std::map<std::string, std::string> strict{{"delta", "0"}, {"polynomial", "1,0"}};
  for (const PolicySpec& spec :
       {PolicySpec{"taylorseer", every}, PolicySpec{"taylorseer_lite", every},
        PolicySpec{"magcache", {{"max_skips", "0"}}}, PolicySpec{"teacache", strict},
        PolicySpec{"taylorseer_lite+fora",
                   {{"taylorseer_lite.interval", "1"}, {"fora.interval", "1"}}}}) {
    EXPECT_TRUE(same_bits(none, run({{1, 3}}, spec))) << spec.name;
  }
}

const std::vector<PolicySpec>& skipping_policies() {
  static const std::vector<PolicySpec> specs{{"taylorseer", {{"order", "2"}}},
                                             {"taylorseer_lite", {}},
                                             {"taylorseer_lite", {{"order", "0"}}},
                                             {"magcache", {}},
                                             {"magcache+toca", {}}};
  return specs;
}

TEST_F(STDiT3Test, WhatStandsInForTheTrunkDoesNotDependOnNeighboursOrThreads) {
  std::vector<Tensor> results;
  for (const PolicySpec& spec : skipping_policies()) {
    const Tensor batch = run({{1, 3}, {2, 6}}, spec);
    EXPECT_TRUE(same_bits(batch.view().rows(1, 1), run({{2, 6}}, spec))) << spec.name;
    EXPECT_FALSE(same_bits(batch.view().rows(1, 1), run({{2, 6}}, {}))) << spec.name;
    results.push_back(run({{1, 3}, {2, 6}}, spec));
  }
  backend_ = make_backend(3);
  weights_ = load_tiny();
  for (size_t i = 0; i < results.size(); ++i) {
    EXPECT_TRUE(same_bits(results[i], run({{1, 3}, {2, 6}}, skipping_policies()[i]))) << i;
  }
}

TEST_F(STDiT3Test, ADynamicPolicyRendersOneClipAtATime) {
  const PolicySpec teacache{"teacache", {{"delta", "0.5"}, {"polynomial", "1,0"}}};
  EXPECT_FALSE(same_bits(run({{1, 3}}, {}), run({{1, 3}}, teacache)));
  EXPECT_THROW(run({{1, 3}, {2, 6}}, teacache), Error);
}

// Asks for all that can be measured, runs the second layer at even steps, and writes down what it
// is told.
class ProbePolicy : public CachePolicy {
 public:
  explicit ProbePolicy(std::vector<StepChanges>& told) : told_(told) {}

  ModuleDecision decide(const ModuleSite&) const override { return {Decision::kRefresh, 12}; }
  bool is_refresh_point(int) const override { return true; }
  CacheNeeds needs() const override {
    return {.features = true,
            .trunk = TrunkKept::kResidual,
            .changes = {.modulated_input = true,
                        .input = true,
                        .front = true,
                        .residual = true,
                        .output = true,
                        .module = ModulePlace{0, BlockKind::kTemporal, Module::kSelfAttention}}};
  }
  LayerSpan span(int) const override { return {1, 2}; }
  bool is_dynamic() const override { return true; }
  std::unique_ptr<PolicyRun> begin() const override { return std::make_unique<Run>(*this, told_); }

 private:
  class Run : public PolicyRun {
   public:
    Run(const CachePolicy& policy, std::vector<StepChanges>& told) : policy_(policy), told_(told) {}
    TrunkDecision decide_trunk(int step, const StepChanges& changes) override {
      EXPECT_FALSE(changes.output || changes.residual || changes.module);  // not known yet
      return step % 2 == 0 ? TrunkDecision::kRun : TrunkDecision::kReuse;
    }
    ModuleDecision decide(const ModuleSite& site) const override { return policy_.decide(site); }
    bool is_refresh_point(int step) const override { return step % 2 == 0; }
    void end_step(int, const StepChanges& changes) override { told_.push_back(changes); }

   private:
    const CachePolicy& policy_;
    std::vector<StepChanges>& told_;
  };

  std::vector<StepChanges>& told_;
};

TEST_F(STDiT3Test, ADynamicRunIsToldWhatItAskedFor) {
  std::vector<StepChanges> told;
  const ProbePolicy policy(told);
  int spatial_of_layer_1 = 0;
  StepHooks hooks;
  hooks.on_module = [&](const ModuleReport& report) {
    spatial_of_layer_1 += report.layer == 1 && report.tokens_computed > 0;
    EXPECT_TRUE(report.layer == 1 || report.decision == Decision::kRefresh);
  };
  run_policy({{1, 3}}, policy, 0, 4, nullptr, hooks);
  ASSERT_EQ(told.size(), 4u);
  EXPECT_EQ(spatial_of_layer_1, 2 * 6);  // steps 0 and 2
  EXPECT_FALSE(told[0].modulated_input || told[0].input || told[0].front || told[0].residual ||
               told[0].output || told[0].module);
  for (const size_t step : {size_t{1}, size_t{2}, size_t{3}}) {
    const StepChanges& changes = told[step];
    for (const auto& change :
         {changes.modulated_input, changes.input, changes.front, changes.output, changes.module}) {
      ASSERT_TRUE(change) << step;
      EXPECT_GT(change->relative(), 0);
    }
    EXPECT_EQ(changes.residual.has_value(), step == 2);  // only where the span runs
  }
  // On other threads the same, to the bit.
  const std::vector<StepChanges> first = std::move(told);
  told.clear();
  backend_ = make_backend(3);
  weights_ = load_tiny();
  run_policy({{1, 3}}, policy, 0, 4);
  for (size_t step = 1; step < 4; ++step) {
    EXPECT_EQ(told[step].modulated_input->difference, first[step].modulated_input->difference);
    EXPECT_EQ(told[step].front->difference, first[step].front->difference);
    EXPECT_EQ(told[step].output->difference, first[step].output->difference);
    EXPECT_EQ(told[step].module->reference, first[step].module->reference);
  }
}

TEST_F(STDiT3Test, ASkippedTrunkReusesEveryTokenOfEveryModule) {
  int runs = 0, calls = 0;
  StepHooks hooks;
  bool skipped = false;
  hooks.on_trunk = [&](int, TrunkDecision decision, bool refresh_point) {
    skipped = decision != TrunkDecision::kRun;
    EXPECT_EQ(refresh_point, !skipped);
    runs += skipped ? 0 : 1;
  };
  hooks.on_module = [&](const ModuleReport& report) {
    ++calls;
    EXPECT_EQ(report.decision, skipped ? Decision::kReuse : Decision::kRefresh);
    EXPECT_EQ(report.tokens_computed, skipped ? 0 : 2 * 12);
    EXPECT_EQ(report.tokens_reused, skipped ? 2 * 12 : 0);
    EXPECT_EQ(report.flops == 0, skipped);
  };
  run({{1, 3}}, {"magcache", {}}, 0, kSteps, nullptr, hooks);
  EXPECT_EQ(calls, kSteps * 4 * 3);
  EXPECT_EQ(runs, 3);  // 0, 2 and 5
}

TEST_F(STDiT3Test, ARenderTakenUpAtARefreshPointHasTheSameBits) {
  for (const PolicySpec& toca :
       {PolicySpec{"toca", {}}, ranked_by("value_norm"), ranked_by("random")}) {
    const Tensor whole = run({{1, 3}}, toca);
    const Tensor cut = run({{1, 3}}, toca, 0, 6);
    EXPECT_TRUE(same_bits(whole, run({{1, 3}}, toca, 6, kSteps, &cut)));
  }
}

TEST_F(STDiT3Test, CleanFramesKeepTheirBitsAndTheModelSeesThem) {
  Tensor mask({1, 2}, DType::kF32);
  mask.f32()[0] = 0.0f;
  mask.f32()[1] = 1.0f;
  Tensor start({1, 4, 2, 4, 5}, DType::kF32);
  fill_initial_latent(start, 1);
  for (const PolicySpec& spec : {PolicySpec{}, PolicySpec{"toca", {}}}) {
    const Tensor kept = run({{1, 3}}, spec, 0, kSteps, nullptr, {}, mask);
    for (int64_t channel = 0; channel < 4; ++channel) {
      const int64_t first = channel * 2 * 20;
      EXPECT_EQ(std::memcmp(kept.f32() + first, start.f32() + first, 20 * sizeof(float)), 0);
    }
    EXPECT_FALSE(same_bits(kept, run({{1, 3}}, spec)));
  }
}

TEST_F(STDiT3Test, EveryModuleAccountsForEveryToken) {
  int64_t calls = 0, partial = 0;
  StepHooks hooks;
  hooks.want_indices = true;
  hooks.on_module = [&](const ModuleReport& report) {
    ++calls;
    EXPECT_EQ(report.tokens_computed + report.tokens_reused, 2 * 12);
    EXPECT_EQ(report.flops == 0, report.tokens_computed == 0);
    if (report.decision == Decision::kPartial && report.module == Module::kMlp) {
      ++partial;
      EXPECT_EQ(report.indices.shape(), (Shape{2, 1}));
    }
  };
  run({{1, 3}}, {"toca", {}}, 0, kSteps, nullptr, hooks);
  EXPECT_EQ(calls, kSteps * 4 * 3);
  EXPECT_EQ(partial, 3 * 4);  // steps 4, 5 and 7
}

TEST_F(STDiT3Test, ACancelledStepStopsBetweenBlocks) {
  int asked = 0;
  StepHooks hooks;
  hooks.cancelled = [&asked] { return ++asked == 3; };
  try {
    run({{1, 3}}, {}, 0, kSteps, nullptr, hooks);
    FAIL() << "the step went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCancelled);
  }
  EXPECT_EQ(asked, 3);
}

TEST_F(STDiT3Test, RefusesCaptionsThatItCannotUse) {
  EXPECT_THROW(encode({{1, 0}}), Error);
}

TEST_F(STDiT3Test, PlansTheBytesThatItAllocates) {
  const STDiT3Shape shape{.clips = 1,
                          .latent_frames = 2,
                          .latent_height = 4,
                          .latent_width = 5,
                          .pixel_height = 32,
                          .pixel_width = 40};
  const auto toca = make_policy({"toca", {}}, {.steps = 8, .depth = 2, .tokens = 12});
  const STDiT3::Memory memory = STDiT3::memory(weights_.config, shape, DType::kF32, *toca);
  // 4 blocks: 3 features of [2, 12, 144], 2 counters and an entropy of [2, 12]. And the sample that
  // drift is measured on: [24, 144] and indices.
  EXPECT_EQ(memory.cache_bytes, 4u * 4 * (3 * 2 * 12 * 144 + 3 * 2 * 12) + 4 * 24 * (144 + 1));
  EXPECT_GT(memory.workspace_bytes, 0u);
}

TEST(STDiT3Weights, AreCountedToTheByteAndRefusedByNameUnderAnotherConfig) {
  const auto backend = make_backend();
  const std::filesystem::path folder = std::string(TOCAFARM_TEST_DATA) + "/models/stdit3-tiny";
  const Checkpoint checkpoint = Checkpoint::open(folder);
  const auto error_of = [&](const STDiT3Config& config) -> std::string {
    try {
      load_stdit3(config, checkpoint, *backend, DType::kF32);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidCheckpoint);
      return error.what();
    }
    return "";
  };
  STDiT3Config config = load_stdit3_config(folder);
  EXPECT_EQ(stdit3_weights_bytes(config, DType::kF32), checkpoint.total_bytes());
  config.depth = 1;
  EXPECT_NE(error_of(config).find("spatial_blocks.1"), std::string::npos);
  config.depth = 3;
  EXPECT_NE(error_of(config).find("spatial_blocks.2"), std::string::npos);
  config = load_stdit3_config(folder);
  config.mlp_hidden = 500;
  EXPECT_NE(error_of(config).find("mlp.fc1.weight"), std::string::npos);
}

}  // namespace
}  // namespace engine
