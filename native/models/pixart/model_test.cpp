// Promises of the cache contract, to the bit, on the tiny golden model, the two layouts of a
// checkpoint and the conditions of the multi-scale model; the model's numbers are held to the
// reference by the golden cases.
#include "models/pixart/model.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>

#include "engine/error.h"
#include "models/pixart/layout_test_support.h"
#include "models/transformer/position_table.h"
#include "models/transformer/promises_test_support.h"
#include "samplers/dpm_solver.h"

namespace engine {
namespace {

namespace fs = std::filesystem;

constexpr int kSteps = 12;
constexpr int64_t kTextTokens = 6;

const fs::path kTiny = fs::path(TOCAFARM_TEST_DATA) / "models/pixart-tiny";  // NOLINT: read-only

struct Clip {
  uint64_t seed;
  int64_t text_tokens;
};

// Random captions [clips, kTextTokens, width], of which each keeps its first tokens.
struct RandomCaptions {
  Tensor embedding, mask;

  RandomCaptions(const std::vector<Clip>& clips, int64_t width) {
    const auto n = static_cast<int64_t>(clips.size());
    embedding = Tensor({n, kTextTokens, width}, DType::kF32);
    mask = Tensor({n, kTextTokens}, DType::kI32);
    for (int64_t clip = 0; clip < n; ++clip) {
      const Clip& each = clips[static_cast<size_t>(clip)];
      float* const rows = embedding.f32() + clip * kTextTokens * width;
      fill_initial_latent(TensorView(rows, DType::kF32, {1, 1, 1, kTextTokens, width}),
                          each.seed + 100);
      for (int64_t i = 0; i < kTextTokens; ++i) {
        mask.view().i32()[clip * kTextTokens + i] = i < each.text_tokens;
      }
    }
  }

  operator Captions() const { return {embedding, mask}; }  // NOLINT: a view
};

class PixartTest : public testing::Test {
 protected:
  PixartTest() : backend_(make_backend()), weights_(load_pixart(kTiny, *backend_, DType::kF32)) {}

  PolicyContext context() const {
    return {.steps = kSteps,
            .depth = weights_.config.joint.depth,
            .tokens = 6 * 8,
            .temporal_blocks = false,
            .published = PublishedSettings::kPixartAlpha};
  }

  // A render that can be cut: latent and, once a step was done, the sampler's history.
  struct State {
    Tensor latent, history;
  };

  // Runs steps [first, last) of a batch of 12 x 16 latents, from the seeds or from `start`.
  State run(const std::vector<Clip>& clips, const PolicySpec& spec, int first = 0,
            int last = kSteps, const State* start = nullptr, const StepHooks& hooks = {}) {
    const auto n = static_cast<int64_t>(clips.size());
    const JointShape shape{.clips = n, .latent_height = 12, .latent_width = 16};
    const auto policy = make_policy(spec, context());
    Pixart model(*backend_, weights_, shape, *policy);
    const RandomCaptions captions(clips, weights_.config.caption_channels);
    const EncodedText text = encode_captions(*backend_, weights_, captions, {}, true);
    model.condition(text, 96, 128);
    model.seed(seeds_of(clips));
    State state{Tensor({n, 4, 1, 12, 16}, DType::kF32), Tensor()};
    for (size_t i = 0; i < clips.size(); ++i) {
      fill_initial_latent(state.latent.view().rows(static_cast<int64_t>(i), 1), clips[i].seed);
    }
    DpmSolver sampler(*backend_, kSteps, {.scale = 4.5, .channels = 4}, state.latent.shape());
    if (start != nullptr) {
      std::memcpy(state.latent.f32(), start->latent.f32(), start->latent.bytes());
      sampler.restore(start->history);
    }
    const NoiseModel noise = [&](const NoiseRequest& request) {
      const std::vector<float> times(clips.size(), request.timestep);
      return model.step({.step = request.step, .latent = request.latent, .timesteps = times},
                        hooks);
    };
    for (int step = first; step < last; ++step) sampler.step(step, state.latent, noise, {});
    state.history = Tensor(state.latent.shape(), DType::kF32);
    backend_->download(sampler.history(), state.history);
    return state;
  }

  Tensor render(const std::vector<Clip>& clips, const PolicySpec& spec) {
    return run(clips, spec).latent;
  }

  std::unique_ptr<Backend> backend_;
  PixartWeights weights_;
};

TEST_F(PixartTest, TocaWithEveryStepFullGivesTheBitsOfNone) {
  const Tensor none = render({{1, 3}}, {});
  EXPECT_TRUE(same_bits(none, render({{1, 3}}, {"toca", {{"interval", "1"}}})));
  EXPECT_FALSE(same_bits(none, render({{1, 3}}, {"toca", {}})));
}

TEST_F(PixartTest, PicturesOfABatchHaveTheBitsTheyHaveAlone) {
  for (const PolicySpec& spec : {PolicySpec{}, PolicySpec{"toca", {}}, PolicySpec{"fora", {}}}) {
    const Tensor batch = render({{1, 3}, {2, 6}}, spec);
    EXPECT_TRUE(same_bits(batch.view().rows(0, 1), render({{1, 3}}, spec)));
    EXPECT_TRUE(same_bits(batch.view().rows(1, 1), render({{2, 6}}, spec)));
  }
}

TEST_F(PixartTest, TheNumberOfThreadsChangesNoBit) {
  const PolicySpec toca{"toca", {{"score", "attention"}}};
  const Tensor one = render({{1, 3}, {2, 6}}, toca);
  backend_ = make_backend(3);
  weights_ = load_pixart(kTiny, *backend_, DType::kF32);
  EXPECT_TRUE(same_bits(one, render({{1, 3}, {2, 6}}, toca)));
}

TEST_F(PixartTest, ARenderTakenUpAtARefreshPointHasTheSameBits) {
  const PolicySpec toca{"toca", {}};
  const auto policy = make_policy(toca, context());
  const Tensor whole = render({{1, 3}}, toca);
  int points = 0;
  for (int step = 1; step < kSteps; ++step) {
    if (!policy->is_refresh_point(step)) continue;
    const State cut = run({{1, 3}}, toca, 0, step);
    EXPECT_TRUE(same_bits(whole, run({{1, 3}}, toca, step, kSteps, &cut).latent)) << step;
    ++points;
  }
  EXPECT_GT(points, 1);
}

TEST_F(PixartTest, EveryModuleAccountsForEveryToken) {
  ModuleCounter counter(48);
  StepHooks hooks = counter.hooks();
  hooks.on_module = [count = hooks.on_module](const ModuleReport& report) {
    EXPECT_EQ(report.block, BlockKind::kJoint);
    count(report);
  };
  run({{1, 3}}, {"toca", {}}, 0, kSteps, nullptr, hooks);
  EXPECT_EQ(counter.calls(), kSteps * 3 * 3);
  EXPECT_GT(counter.partial(), 0);
}

TEST_F(PixartTest, EveryScoreOfTheModelRanksItsTokens) {
  std::vector<Tensor> results;
  for (const char* const score :
       {"entropy", "norm", "similarity", "attention", "value_norm", "random"}) {
    results.push_back(render({{1, 3}}, {"toca", {{"score", score}}}));
    for (size_t i = 0; i + 1 < results.size(); ++i) {
      EXPECT_FALSE(same_bits(results[i], results.back())) << score;
    }
  }
}

TEST_F(PixartTest, NeedsGuidanceToRankByText) {
  const JointShape alone{.guided = false, .latent_height = 12, .latent_width = 16};
  const auto entropy = make_policy({"toca", {}}, context());
  EXPECT_THROW(Pixart(*backend_, weights_, alone, *entropy), Error);
  const auto attention = make_policy({"toca", {{"score", "attention"}}}, context());
  EXPECT_NO_THROW(Pixart(*backend_, weights_, alone, *attention));
}

TEST_F(PixartTest, PlansTheBytesThatItAllocates) {
  const JointShape shape{.latent_height = 12, .latent_width = 16};
  const auto toca = make_policy({"toca", {}}, context());
  const JointMemory memory = Pixart::memory(weights_.config, shape, DType::kF32, *toca);
  // 3 blocks: 3 features of [2, 48, 72], 2 counters and an entropy of [2, 48]. And the sample that
  // drift is measured on: [32, 72] and indices.
  EXPECT_EQ(memory.cache_bytes, 3u * 4 * (3 * 2 * 48 * 72 + 3 * 2 * 48) + 4 * 32 * (72 + 1));
  EXPECT_GT(memory.workspace_bytes, 0u);
}

TEST_F(PixartTest, RefusesCaptionsThatItCannotUse) {
  const int64_t width = weights_.config.caption_channels;
  EXPECT_THROW(encode_captions(*backend_, weights_, RandomCaptions({{1, 0}}, width), {}, true),
               Error);
  weights_.config.model_max_length = 5;
  EXPECT_THROW(encode_captions(*backend_, weights_, RandomCaptions({{1, 3}}, width), {}, true),
               Error);
}

TEST_F(PixartTest, TakesTheNullCaptionOfTheCheckpointUnderEachPromptsMask) {
  const RandomCaptions captions({{1, 3}, {2, 6}}, weights_.config.caption_channels);
  const EncodedText text = encode_captions(*backend_, weights_, captions, {}, true);
  EXPECT_EQ(text.offsets, (std::vector<int32_t>{0, 3, 9, 12, 18}));
  weights_.null_caption = Tensor();
  EXPECT_THROW(encode_captions(*backend_, weights_, captions, {}, true), Error);
  // Given, it has a mask of its own.
  const RandomCaptions null({{9, 1}, {9, 1}}, weights_.config.caption_channels);
  EXPECT_EQ(encode_captions(*backend_, weights_, captions, null, true).offsets,
            (std::vector<int32_t>{0, 3, 9, 10, 11}));
}

TEST(PositionTable, StretchesOtherGridsOntoTheTrainedOne) {
  const Tensor trained = position_table({.hidden = 8, .height = 4, .width = 4, .base = 4});
  const Tensor wide = position_table({.hidden = 8, .height = 2, .width = 8, .base = 4});
  // Token (0, 2) of the wide grid lies at column 1, token (1, 0) at row 2.
  EXPECT_TRUE(same_bits(wide.view().rows(2, 1), trained.view().rows(1, 1)));
  EXPECT_TRUE(same_bits(wide.view().rows(8, 1), trained.view().rows(8, 1)));
  // Columns first, each half sines then cosines.
  EXPECT_FLOAT_EQ(trained.f32()[8 + 0], std::sin(1.0f));
  EXPECT_FLOAT_EQ(trained.f32()[8 + 1], std::sin(0.01f));
  EXPECT_FLOAT_EQ(trained.f32()[8 + 2], std::cos(1.0f));
  EXPECT_FLOAT_EQ(trained.f32()[8 + 4], 0.0f);
  const Tensor halved =
      position_table({.hidden = 8, .height = 4, .width = 4, .base = 4, .scale = 2});
  EXPECT_FLOAT_EQ(halved.f32()[8 + 0], std::sin(0.5f));
}

// A checkpoint of one test's own, removed with it.
class PixartCheckpointTest : public testing::Test {
 protected:
  PixartCheckpointTest()
      : backend_(make_backend()),
        config_(load_pixart_config(kTiny)),
        source_(Checkpoint::open(kTiny)),
        file_(fs::temp_directory_path() /
              ("tocafarm-pixart-" +
               std::string(testing::UnitTest::GetInstance()->current_test_info()->name()) +
               ".safetensors")) {}
  ~PixartCheckpointTest() override { fs::remove(file_); }

  RenamedTensors diffusers() const { return diffusers_pixart(source_, config_.joint.depth); }

  // All of the source, and embedders of size and aspect ratio filled with noise.
  std::vector<NamedTensor> with_micro_conditions() {
    std::vector<NamedTensor> tensors;
    for (const std::string& name : source_.names()) tensors.push_back({name, source_.get(name)});
    const int64_t third = config_.joint.sizes.hidden / 3;
    uint64_t seed = 50;
    for (const char* const embedder : {"csize_embedder.mlp.", "ar_embedder.mlp."}) {
      for (const auto& [layer, in] : {std::pair{"0", kSinusoidWidth}, std::pair{"2", third}}) {
        for (const Shape& shape : {Shape{third, in}, Shape{third}}) {
          micro_.emplace_back(shape, DType::kF32);
          const TensorView flat = micro_.back().view().reshaped({1, 1, 1, 1, shape.elements()});
          fill_initial_latent(flat, seed++);
          for (int64_t i = 0; i < shape.elements(); ++i) flat.f32()[i] *= 0.1f;
          const char* const part = shape.rank() == 2 ? ".weight" : ".bias";
          tensors.push_back({std::string(embedder) + layer + part, micro_.back()});
        }
      }
    }
    return tensors;
  }

  PixartWeights load(const std::vector<NamedTensor>& tensors) {
    write_safetensors(file_, tensors);
    return load_pixart(config_, Checkpoint::open(file_), *backend_, DType::kF32);
  }

  std::string error_of(const std::vector<NamedTensor>& tensors) {
    try {
      load(tensors);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidCheckpoint);
      return error.what();
    }
    return "";
  }

  Tensor predict(const PixartWeights& weights, double pixel_height, double pixel_width) {
    const auto none = make_policy({}, {.steps = 1, .depth = config_.joint.depth, .tokens = 64});
    Pixart model(*backend_, weights, {.latent_height = 16, .latent_width = 16}, *none);
    const RandomCaptions captions({{1, 3}}, config_.caption_channels);
    const RandomCaptions null({{9, 1}}, config_.caption_channels);
    const EncodedText text = encode_captions(*backend_, weights, captions, null, true);
    model.condition(text, pixel_height, pixel_width);
    Tensor latent({1, 4, 1, 16, 16}, DType::kF32);
    fill_initial_latent(latent, 1);
    const ConstTensorView output =
        model.step({.latent = latent, .timesteps = std::array<float, 1>{500}});
    Tensor host(output.shape(), DType::kF32);
    backend_->download(output, host);
    return host;
  }

  std::unique_ptr<Backend> backend_;
  PixartConfig config_;
  Checkpoint source_;
  fs::path file_;
  std::vector<Tensor> micro_;
};

TEST_F(PixartCheckpointTest, BothLayoutsAreTheSameModel) {
  const PixartWeights original = load_pixart(kTiny, *backend_, DType::kF32);
  const PixartWeights renamed = load(diffusers().tensors());
  EXPECT_TRUE(renamed.null_caption.empty());
  EXPECT_TRUE(renamed.position.empty());
  const Tensor first = predict(original, 128, 128), second = predict(renamed, 128, 128);
  for (int64_t i = 0; i < first.elements(); ++i) {
    ASSERT_NEAR(first.f32()[i], second.f32()[i], 2e-5) << i;
  }
}

TEST_F(PixartCheckpointTest, TellsAMultiScaleModelTheSizeOfThePicture) {
  const std::vector<NamedTensor> tensors = with_micro_conditions();
  // Not asked for, though there.
  EXPECT_NE(error_of(tensors).find("micro_condition"), std::string::npos);
  config_.micro_conditions = true;
  const PixartWeights weights = load(tensors);
  const Tensor square = predict(weights, 128, 128);
  EXPECT_FALSE(same_bits(square, predict(weights, 128, 96)));
  EXPECT_FALSE(same_bits(square, predict(weights, 256, 256)));
  EXPECT_EQ(pixart_weights_bytes(config_, DType::kF32), Checkpoint::open(file_).total_bytes());
  // Asked for, but not there.
  EXPECT_NE(error_of(diffusers().tensors()).find("resolution_embedder"), std::string::npos);
}

TEST_F(PixartCheckpointTest, NamesATensorThatIsMissingOrMisshapen) {
  RenamedTensors renamed = diffusers();
  renamed.tensors().pop_back();  // proj_out.bias
  EXPECT_NE(error_of(renamed.tensors()).find("\"proj_out.bias\""), std::string::npos);
  renamed = diffusers();
  renamed.tensors().back().tensor = source_.get("final_layer.scale_shift_table");
  EXPECT_NE(error_of(renamed.tensors()).find("expected [32]"), std::string::npos);
}

TEST_F(PixartCheckpointTest, IsCountedToTheByteAndRefusedUnderAnotherDepth) {
  EXPECT_EQ(pixart_weights_bytes(config_, DType::kF32), source_.total_bytes());
  std::vector<NamedTensor> tensors;
  for (const std::string& name : source_.names()) tensors.push_back({name, source_.get(name)});
  config_.joint.depth = 2;
  EXPECT_NE(error_of(tensors).find("blocks.2"), std::string::npos);
  config_.joint.depth = 4;
  EXPECT_NE(error_of(tensors).find("blocks.3"), std::string::npos);
}

}  // namespace
}  // namespace engine
