// Promises of the cache contract, to the bit, on the tiny golden model, and the two layouts of a
// checkpoint; the model's numbers are held to the reference by the golden cases.
#include "models/dit/model.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>

#include "engine/error.h"
#include "models/transformer/layout_test_support.h"
#include "models/transformer/promises_test_support.h"
#include "samplers/ddim.h"

namespace engine {
namespace {

namespace fs = std::filesystem;

constexpr int kSteps = 12;

const fs::path kTiny = fs::path(TOCAFARM_TEST_DATA) / "models/dit-tiny";  // NOLINT: read-only

class DitTest : public testing::Test {
 protected:
  DitTest() : backend_(make_backend()), weights_(load_dit(kTiny, *backend_, DType::kF32)) {}

  struct Clip {
    uint64_t seed;
    int32_t label;
  };

  // Runs steps [first, last) of a batch on `start` (made from the seeds when null).
  Tensor run(const std::vector<Clip>& clips, const PolicySpec& spec, int first = 0,
             int last = kSteps, const Tensor* start = nullptr, const StepHooks& hooks = {}) {
    const auto n = static_cast<int64_t>(clips.size());
    const JointShape shape{.clips = n, .latent_height = 16, .latent_width = 16};
    const auto policy = make_policy(spec, {.steps = kSteps,
                                           .depth = weights_.config.joint.depth,
                                           .tokens = 64,
                                           .temporal_blocks = false,
                                           .published = PublishedSettings::kDitDdim});
    Dit model(*backend_, weights_, shape, *policy);
    std::vector<int32_t> labels;
    Tensor latent({n, 4, 1, 16, 16}, DType::kF32);
    for (size_t i = 0; i < clips.size(); ++i) {
      labels.push_back(clips[i].label);
      fill_initial_latent(latent.view().rows(static_cast<int64_t>(i), 1), clips[i].seed);
    }
    model.condition(labels);
    model.seed(seeds_of(clips));
    if (start != nullptr) std::memcpy(latent.f32(), start->f32(), latent.bytes());
    Ddim sampler(*backend_, kSteps, {.scale = 1.5, .channels = 3}, latent.shape());
    const NoiseModel noise = [&](const NoiseRequest& request) {
      const std::vector<float> times(clips.size(), request.timestep);
      return model.step({.step = request.step, .latent = request.latent, .timesteps = times},
                        hooks);
    };
    for (int step = first; step < last; ++step) sampler.step(step, latent, noise, {});
    return latent;
  }

  std::unique_ptr<Backend> backend_;
  DitWeights weights_;
};

TEST_F(DitTest, TocaWithEveryStepFullGivesTheBitsOfNone) {
  const Tensor none = run({{1, 3}}, {});
  // With fresh tokens the interval would become 2 for a while, whatever it was.
  const PolicySpec all_full{"toca", {{"interval", "1"}, {"fresh_ratio", "0"}}};
  EXPECT_TRUE(same_bits(none, run({{1, 3}}, all_full)));
  EXPECT_FALSE(same_bits(none, run({{1, 3}}, {"toca", {}})));
}

TEST_F(DitTest, PicturesOfABatchHaveTheBitsTheyHaveAlone) {
  const PolicySpec random{"toca", {{"fresh_ratio", "0.3"}, {"score", "random"}}};
  const PolicySpec values{"toca", {{"fresh_ratio", "0.3"}, {"score", "value_norm"}}};
  for (const PolicySpec& spec :
       {PolicySpec{}, PolicySpec{"toca", {{"fresh_ratio", "0.3"}}}, random, values}) {
    const Tensor batch = run({{1, 3}, {2, 7}}, spec);
    EXPECT_TRUE(same_bits(batch.view().rows(0, 1), run({{1, 3}}, spec)));
    EXPECT_TRUE(same_bits(batch.view().rows(1, 1), run({{2, 7}}, spec)));
  }
}

TEST_F(DitTest, TheNumberOfThreadsChangesNoBit) {
  const PolicySpec toca{"toca", {{"fresh_ratio", "0.3"}}};
  const Tensor one = run({{1, 3}, {2, 7}}, toca);
  backend_ = make_backend(3);
  weights_ = load_dit(kTiny, *backend_, DType::kF32);
  EXPECT_TRUE(same_bits(one, run({{1, 3}, {2, 7}}, toca)));
}

TEST_F(DitTest, ARenderTakenUpAtARefreshPointHasTheSameBits) {
  for (const char* const fidelity : {"corrected", "upstream"}) {
    const PolicySpec toca{"toca", {{"fidelity", fidelity}, {"fresh_ratio", "0.3"}}};
    const auto policy = make_policy(toca, {.steps = kSteps,
                                           .depth = 2,
                                           .tokens = 64,
                                           .temporal_blocks = false,
                                           .published = PublishedSettings::kDitDdim});
    const Tensor whole = run({{1, 3}}, toca);
    int points = 0;
    for (int step = 1; step < kSteps; ++step) {
      if (!policy->is_refresh_point(step)) continue;
      const Tensor cut = run({{1, 3}}, toca, 0, step);
      EXPECT_TRUE(same_bits(whole, run({{1, 3}}, toca, step, kSteps, &cut))) << step;
      ++points;
    }
    EXPECT_GT(points, 1);
  }
}

TEST_F(DitTest, EveryModuleAccountsForEveryToken) {
  ModuleCounter counter(64);
  StepHooks hooks = counter.hooks();
  hooks.on_module = [count = hooks.on_module](const ModuleReport& report) {
    EXPECT_EQ(report.block, BlockKind::kJoint);
    EXPECT_NE(report.module, Module::kCrossAttention);
    count(report);
  };
  run({{1, 3}}, {"toca", {{"fresh_ratio", "0.3"}}}, 0, kSteps, nullptr, hooks);
  EXPECT_EQ(counter.calls(), kSteps * 2 * 2);
  EXPECT_GT(counter.partial(), 0);
}

TEST_F(DitTest, ACancelledStepStopsBetweenBlocks) {
  expect_cancelled(2, [&](const StepHooks& hooks) {
    run({{1, 3}}, {}, 0, kSteps, nullptr, hooks);
  });
}

TEST_F(DitTest, SeesItsClass) {
  EXPECT_FALSE(same_bits(run({{1, 3}}, {}), run({{1, 4}}, {})));
}

TEST_F(DitTest, RefusesAClassASizeAndAGuidanceThatItDoesNotHave) {
  EXPECT_THROW(run({{1, 10}}, {}), Error);
  EXPECT_THROW(run({{1, -1}}, {}), Error);
  const auto none = make_policy({}, {.steps = 2, .depth = 2, .tokens = 64});
  EXPECT_THROW(Dit(*backend_, weights_, {.latent_height = 16, .latent_width = 32}, *none), Error);
  weights_.config.null_class = false;
  EXPECT_THROW(Dit(*backend_, weights_, {.latent_height = 16, .latent_width = 16}, *none), Error);
}

TEST_F(DitTest, PlansTheBytesThatItAllocates) {
  const JointShape shape{.latent_height = 16, .latent_width = 16};
  const auto toca = make_policy({"toca", {}}, {.steps = kSteps,
                                               .depth = 2,
                                               .tokens = 64,
                                               .temporal_blocks = false,
                                               .published = PublishedSettings::kDitDdim});
  const JointMemory memory = Dit::memory(weights_.config, shape, DType::kF32, *toca);
  // 2 blocks: 2 features of [2, 64, 144], a counter and a column sum of [2, 64]. And the sample
  // that drift is measured on: [32, 144] and indices.
  EXPECT_EQ(memory.cache_bytes, 2u * 4 * (2 * 2 * 64 * 144 + 2 * 2 * 64) + 4 * 32 * (144 + 1));
  EXPECT_GT(memory.workspace_bytes, 0u);
}

// A checkpoint of one test's own, removed with it.
class DitCheckpointTest : public testing::Test {
 protected:
  DitCheckpointTest()
      : backend_(make_backend()),
        config_(load_dit_config(kTiny)),
        source_(Checkpoint::open(kTiny)),
        file_(fs::temp_directory_path() /
              ("tocafarm-dit-" +
               std::string(testing::UnitTest::GetInstance()->current_test_info()->name()) +
               ".safetensors")) {}
  ~DitCheckpointTest() override { fs::remove(file_); }

  RenamedTensors diffusers() const {
    RenamedTensors renamed(source_);
    renamed.layer("x_embedder.proj", "pos_embed.proj");
    for (int i = 0; i < config_.joint.depth; ++i) {
      const std::string norm = "transformer_blocks." + std::to_string(i) + ".norm1.";
      renamed.block(i, false);
      renamed.layer("t_embedder.mlp.0", norm + "emb.timestep_embedder.linear_1");
      renamed.layer("t_embedder.mlp.2", norm + "emb.timestep_embedder.linear_2");
      renamed.tensor("y_embedder.embedding_table.weight",
                     norm + "emb.class_embedder.embedding_table.weight");
      renamed.layer("blocks." + std::to_string(i) + ".adaLN_modulation.1", norm + "linear");
    }
    renamed.layer("final_layer.adaLN_modulation.1", "proj_out_1");
    renamed.layer("final_layer.linear", "proj_out_2");
    return renamed;
  }

  DitWeights load(const std::vector<NamedTensor>& tensors) {
    write_safetensors(file_, tensors);
    return load_dit(config_, Checkpoint::open(file_), *backend_, DType::kF32);
  }

  std::string error_of(const std::vector<NamedTensor>& tensors) {
    try {
      load(tensors);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  Tensor predict(const DitWeights& weights) {
    const auto none = make_policy({}, {.steps = 1, .depth = config_.joint.depth, .tokens = 64});
    Dit model(*backend_, weights, {.latent_height = 16, .latent_width = 16}, *none);
    model.condition(std::array<int32_t, 1>{3});
    Tensor latent({1, 4, 1, 16, 16}, DType::kF32);
    fill_initial_latent(latent, 1);
    const ConstTensorView output =
        model.step({.latent = latent, .timesteps = std::array<float, 1>{500}});
    Tensor host(output.shape(), DType::kF32);
    backend_->download(output, host);
    return host;
  }

  std::unique_ptr<Backend> backend_;
  DitConfig config_;
  Checkpoint source_;
  fs::path file_;
};

TEST_F(DitCheckpointTest, BothLayoutsAreTheSameModel) {
  const DitWeights original = load_dit(kTiny, *backend_, DType::kF32);
  const DitWeights renamed = load(diffusers().tensors());
  for (int64_t i = 0; i < original.position.elements(); ++i) {
    // The table that diffusers' layout leaves out is made.
    ASSERT_NEAR(original.position.f32()[i], renamed.position.f32()[i], 1e-6) << i;
  }
  const Tensor first = predict(original), second = predict(renamed);
  for (int64_t i = 0; i < first.elements(); ++i) {
    ASSERT_NEAR(first.f32()[i], second.f32()[i], 2e-5) << i;
  }
}

TEST_F(DitCheckpointTest, RefusesBlocksThatEmbedDifferently) {
  RenamedTensors renamed = diffusers();
  const Shape table{config_.labels(), config_.joint.sizes.hidden};
  Tensor other(table, DType::kF32);
  std::memset(other.f32(), 0, other.bytes());
  for (NamedTensor& each : renamed.tensors()) {
    if (each.name == "transformer_blocks.1.norm1.emb.class_embedder.embedding_table.weight") {
      each.tensor = other;
    }
  }
  EXPECT_NE(error_of(renamed.tensors()).find("differs from that of block 0"), std::string::npos);
}

TEST_F(DitCheckpointTest, NamesATensorThatIsMissingOrMisshapen) {
  RenamedTensors renamed = diffusers();
  renamed.tensors().pop_back();  // proj_out_2.bias
  EXPECT_NE(error_of(renamed.tensors()).find("\"proj_out_2.bias\""), std::string::npos);
  renamed = diffusers();
  renamed.tensors().back().tensor = source_.get("pos_embed");
  const std::string message = error_of(renamed.tensors());
  EXPECT_NE(message.find("proj_out_2.bias"), std::string::npos);
  EXPECT_NE(message.find("expected [32]"), std::string::npos);
  EXPECT_NE(error_of({{"weight", source_.get("pos_embed")}}).find("neither"), std::string::npos);
}

TEST_F(DitCheckpointTest, IsCountedToTheByteAndRefusedUnderAnotherDepth) {
  EXPECT_EQ(dit_weights_bytes(config_, DType::kF32), source_.total_bytes());
  const auto refused = [&](int depth) -> std::string {
    DitConfig other = config_;
    other.joint.depth = depth;
    try {
      load_dit(other, source_, *backend_, DType::kF32);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidCheckpoint);
      return error.what();
    }
    return "";
  };
  EXPECT_NE(refused(1).find("blocks.1"), std::string::npos);
  EXPECT_NE(refused(3).find("blocks.2"), std::string::npos);
}

}  // namespace
}  // namespace engine
