// The file of a checkpoint: what is written is read again, and whatever does not fit is refused
// with an error that names the file and says why.
#include "pipeline/render_checkpoint.h"

#include <cstring>

#include "core/checkpoint.h"
#include "core/test_support.h"

namespace engine {
namespace {

constexpr auto kCode = ErrorCode::kInvalidCheckpoint;
const Shape kLatent{1, 4, 2, 3, 5};  // NOLINT: a shape allocates nothing

ClipIdentity clip() {
  return {.steps = 8,
          .seed = 42,
          .policy = "toca",
          .prompt_sha256 = "p",
          .initial_latent_sha256 = "i",
          .plan_digest = "d",
          .weights_digest = "w",
          .kind = "cpu avx2"};
}

// Eight steps; 0, 3 and 6 are refresh points.
Plan plan() {
  Plan plan;
  for (int step = 0; step < 8; ++step) {
    plan.steps.push_back({.step = step, .refresh_point = step % 3 == 0, .modules = {}});
  }
  return plan;
}

SamplerState state_of(int step) {
  SamplerState state{.step = step, .latent = Tensor(kLatent, DType::kF32)};
  for (int64_t i = 0; i < state.latent.elements(); ++i)
    state.latent.f32()[i] = static_cast<float>(i) / 7;
  return state;
}

class RenderCheckpointTest : public testing::Test {
 protected:
  std::filesystem::path write(int step, const ClipIdentity& of = clip()) const {
    write_render_checkpoint(file_, of, state_of(step));
    return file_;
  }
  testing::AssertionResult refuses(const std::string& text, const ClipIdentity& of = clip()) const {
    const auto beginning =
        fails([&] { read_render_checkpoint(file_, of, plan(), kLatent); }, kCode, "the checkpoint");
    if (!beginning) return beginning;
    return fails([&] { read_render_checkpoint(file_, of, plan(), kLatent); }, kCode, text);
  }

  TemporaryFolder folder_;
  std::filesystem::path file_ = folder_.path() / render_checkpoint_name(6);
};

TEST_F(RenderCheckpointTest, WhatIsWrittenIsReadAgain) {
  EXPECT_EQ(file_.filename(), "checkpoint-6.safetensors");
  for (const int step : {0, 3, 6, 8}) {
    const SamplerState read = read_render_checkpoint(write(step), clip(), plan(), kLatent);
    EXPECT_EQ(read.step, step);
    EXPECT_EQ(std::memcmp(read.latent.f32(), state_of(step).latent.f32(), read.latent.bytes()), 0);
  }
  EXPECT_EQ(folder_.files(), 1u);
}

TEST_F(RenderCheckpointTest, AValueThatIsNoNumberIsKeptToTheBit) {
  SamplerState state = state_of(6);
  const uint32_t quiet_with_payload = 0x7fc12345;
  std::memcpy(state.latent.f32(), &quiet_with_payload, sizeof(quiet_with_payload));
  write_render_checkpoint(file_, clip(), state);
  const SamplerState read = read_render_checkpoint(file_, clip(), plan(), kLatent);
  EXPECT_EQ(std::memcmp(read.latent.f32(), state.latent.f32(), state.latent.bytes()), 0);
}

TEST_F(RenderCheckpointTest, OneOfAnotherClipOrKindIsRefusedByWhatDiffers) {
  write(6);
  const auto with = [](auto member, auto value) {
    ClipIdentity other = clip();
    other.*member = value;
    return other;
  };
  EXPECT_TRUE(refuses("has steps \"8\", this render has \"9\"", with(&ClipIdentity::steps, 9)));
  EXPECT_TRUE(refuses("has seed \"42\", this render has \"43\": begin at step 0",
                      with(&ClipIdentity::seed, 43)));
  EXPECT_TRUE(refuses("has policy", with(&ClipIdentity::policy, "fora")));
  EXPECT_TRUE(refuses("has prompt_sha256", with(&ClipIdentity::prompt_sha256, "q")));
  EXPECT_TRUE(
      refuses("has initial_latent_sha256", with(&ClipIdentity::initial_latent_sha256, "j")));
  EXPECT_TRUE(refuses("has plan_digest", with(&ClipIdentity::plan_digest, "e")));
  EXPECT_TRUE(refuses("has weights_digest", with(&ClipIdentity::weights_digest, "v")));
  EXPECT_TRUE(refuses("has kind \"cpu avx2\", this render has \"cpu avx512\"",
                      with(&ClipIdentity::kind, "cpu avx512")));
}

TEST_F(RenderCheckpointTest, OneOfAStepThatIsNoRefreshPointIsRefused) {
  for (const int step : {1, 5, 7, 9, -1}) {
    write(step);
    EXPECT_TRUE(refuses("is of step \"" + std::to_string(step) + "\""));
  }
}

TEST_F(RenderCheckpointTest, OneOfAnotherSizeIsRefused) {
  SamplerState state{.step = 6, .latent = Tensor({1, 4, 2, 3, 4}, DType::kF32)};
  std::memset(state.latent.f32(), 0, state.latent.bytes());
  write_render_checkpoint(file_, clip(), state);
  EXPECT_TRUE(refuses("holds fp32 [1, 4, 2, 3, 4], this render needs fp32 [1, 4, 2, 3, 5]"));
}

TEST_F(RenderCheckpointTest, WhatTheSamplerKeepsIsKeptWithIt) {
  Plan keeps = plan();
  keeps.sampler_keeps_history = true;
  SamplerState state = state_of(6);
  state.history = Tensor(kLatent, DType::kF32);
  std::memset(state.history.f32(), 1, state.history.bytes());
  write_render_checkpoint(file_, clip(), state);
  const SamplerState read = read_render_checkpoint(file_, clip(), keeps, kLatent);
  EXPECT_EQ(std::memcmp(read.history.f32(), state.history.f32(), state.history.bytes()), 0);
  EXPECT_TRUE(refuses("has a tensor \"history\""));
  const auto lacks = [&] { read_render_checkpoint(write(6), clip(), keeps, kLatent); };
  EXPECT_TRUE(fails(lacks, kCode, "has no tensor \"history\""));
  for (const int step : {0, 8}) {
    EXPECT_TRUE(read_render_checkpoint(write(step), clip(), keeps, kLatent).history.empty());
  }
}

TEST_F(RenderCheckpointTest, AnyByteThatChangedIsNoticed) {
  write(6);
  const std::string whole = read_text(file_);
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x04);
    folder_.write(file_.filename(), damaged);
    EXPECT_TRUE(refuses("the checkpoint")) << "byte " << at;
  }
}

TEST_F(RenderCheckpointTest, AFileThatIsCutShortIsRefused) {
  write(6);
  const std::string whole = read_text(file_);
  for (const size_t bytes :
       {size_t{0}, size_t{5}, size_t{40}, whole.size() / 2, whole.size() - 1}) {
    folder_.write(file_.filename(), std::string_view(whole).substr(0, bytes));
    EXPECT_TRUE(refuses("checkpoint-6.safetensors")) << bytes << " bytes";
  }
}

TEST_F(RenderCheckpointTest, SomethingElseIsRefused) {
  EXPECT_TRUE(refuses("No such file"));
  const Tensor latent = state_of(6).latent;
  write_safetensors(file_, {{"latent", latent}});
  EXPECT_TRUE(refuses("is not one of a render"));
  write_safetensors(file_, {{"latent", latent}}, {{"format", "tocafarm-render"}, {"version", "2"}});
  EXPECT_TRUE(refuses("has version \"2\", this engine reads version 1"));
  write_safetensors(file_, {{"z", latent}}, {{"format", "tocafarm-render"}, {"version", "1"}});
  EXPECT_TRUE(refuses("has no tensor \"latent\""));
  std::filesystem::remove(file_);
  std::filesystem::create_directory(file_);
  EXPECT_TRUE(refuses("is not a regular file"));
}

}  // namespace
}  // namespace engine
