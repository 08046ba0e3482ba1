// Promises of the cache contract, to the bit, on the tiny golden model; its numbers are held to the
// reference by the golden cases.
#include "engine/error.h"
#include "models/stdit3/model_test_support.h"

namespace engine {
namespace {

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
  for (const PolicySpec& spec :
       {PolicySpec{}, PolicySpec{"toca", {{"fresh_ratio", "0.3"}}},
        PolicySpec{"toca-shared", {{"fold", "trunk"}}}, PolicySpec{"fastercache", {}}}) {
    const Tensor batch = run({{1, 3}, {2, 6}}, spec);
    EXPECT_TRUE(same_bits(batch.view().rows(0, 1), run({{1, 3}}, spec)));
    EXPECT_TRUE(same_bits(batch.view().rows(1, 1), run({{2, 6}}, spec)));
  }
}

TEST_F(STDiT3Test, CleanFramesKeepTheirBitsAndTheModelSeesThem) {
  Tensor mask({1, 2}, DType::kF32);
  mask.f32()[0] = 0.0f;
  mask.f32()[1] = 1.0f;
  Tensor start({1, 4, 2, 4, 5}, DType::kF32);
  fill_initial_latent(start, 1);
  for (const PolicySpec& spec :
       {PolicySpec{}, PolicySpec{"toca", {}}, PolicySpec{"fastercache", {}}}) {
    const Tensor kept = run({{1, 3}}, spec, 0, kSteps, nullptr, {}, mask);
    for (int64_t channel = 0; channel < 4; ++channel) {
      const int64_t first = channel * 2 * 20;
      EXPECT_EQ(std::memcmp(kept.f32() + first, start.f32() + first, 20 * sizeof(float)), 0);
    }
    EXPECT_FALSE(same_bits(kept, run({{1, 3}}, spec)));
  }
}

TEST_F(STDiT3Test, EveryModuleAccountsForEveryToken) {
  ModuleCounter counter(12);
  run({{1, 3}}, {"toca", {}}, 0, kSteps, nullptr, counter.hooks());
  EXPECT_EQ(counter.calls(), kSteps * 4 * 3);
  EXPECT_EQ(counter.partial(), 3 * 4);  // MLPs at steps 4, 5 and 7
}

TEST_F(STDiT3Test, ACancelledStepStopsBetweenBlocks) {
  expect_cancelled(3, [&](const StepHooks& hooks) {
    run({{1, 3}}, {}, 0, kSteps, nullptr, hooks);
  });
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
