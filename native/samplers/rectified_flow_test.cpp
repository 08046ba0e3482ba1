#include "samplers/rectified_flow.h"

#include <gtest/gtest.h>

#include <cstring>

#include "engine/error.h"
#include "samplers/noise.h"

namespace engine {
namespace {

constexpr int64_t kFrames = 3;
const Shape kLatent{1, 2, kFrames, 1, 1};  // NOLINT: a shape allocates nothing

class RectifiedFlowTest : public testing::Test {
 protected:
  RectifiedFlowTest() : backend_(make_plain_backend()), latent_(kLatent, DType::kF32) {
    for (int i = 0; i < 6; ++i) latent_.f32()[i] = static_cast<float>(i);
  }

  // Velocity 1 in the conditional half and 0.5 in the other, whatever the latent.
  VelocityModel constant_velocity() {
    output_ = Tensor({2, 4, kFrames, 1, 1}, DType::kF32);
    for (int i = 0; i < 24; ++i) output_.f32()[i] = i < 12 ? 1.0f : 0.5f;
    return [this](const VelocityRequest& request) -> ConstTensorView {
      masks_.emplace_back();
      for (int64_t i = 0; i < request.x_mask.elements() && !request.x_mask.empty(); ++i) {
        masks_.back() += request.x_mask.u8()[i] != 0 ? '1' : '0';
      }
      return output_;
    };
  }

  NoiseSource noise_of(float value) {
    return [this, value](int step, TensorView noise) {
      noised_steps_.push_back(step);
      for (int64_t i = 0; i < noise.elements(); ++i) noise.f32()[i] = value;
    };
  }

  static Tensor mask_of(std::initializer_list<float> values) {
    Tensor mask({1, kFrames}, DType::kF32);
    std::copy(values.begin(), values.end(), mask.f32());
    return mask;
  }

  std::unique_ptr<Backend> backend_;
  Tensor latent_;
  Tensor output_;
  std::vector<std::string> masks_;
  std::vector<int> noised_steps_;
};

TEST_F(RectifiedFlowTest, AddsTheGuidedVelocityTimesTheStep) {
  RectifiedFlow sampler(*backend_, {1000, 400}, 3.0, kLatent);
  sampler.step(0, latent_, constant_velocity(), {});
  // v = 0.5 + 3 (1 - 0.5) = 2, over 0.6
  for (int i = 0; i < 6; ++i) EXPECT_FLOAT_EQ(latent_.f32()[i], static_cast<float>(i) + 1.2f);
  sampler.step(1, latent_, constant_velocity(), {});
  for (int i = 0; i < 6; ++i) EXPECT_FLOAT_EQ(latent_.f32()[i], static_cast<float>(i) + 2.0f);
  EXPECT_EQ(masks_, (std::vector<std::string>{"", ""}));
}

TEST_F(RectifiedFlowTest, KeepsFramesUntilTheTimeFallsToTheirValueAndNoisesThemThen) {
  const Tensor mask = mask_of({1.0f, 0.0f, 0.5f});
  RectifiedFlow sampler(*backend_, {1000, 750, 500, 250}, 1.0, kLatent, mask);
  const VelocityModel model = constant_velocity();
  const NoiseSource noise = noise_of(10.0f);
  for (int step = 0; step < 4; ++step) sampler.step(step, latent_, model, noise);
  EXPECT_EQ(masks_, (std::vector<std::string>{"100", "100", "101", "101"}));
  EXPECT_EQ(noised_steps_, std::vector<int>{2});
  EXPECT_FLOAT_EQ(latent_.f32()[0], 1.0f);  // generated: four steps of 0.25
  EXPECT_EQ(latent_.f32()[1], 1.0f);        // kept, to the bit
  // Halfway: 0.5 · 2 + 0.5 · 10, then two steps.
  EXPECT_FLOAT_EQ(latent_.f32()[2], 6.5f);
}

TEST_F(RectifiedFlowTest, ThrowsAwayTheFirstStepWhereTheTimePassesAThousand) {
  const Tensor mask = mask_of({1.0f, 1.0f, 1.0f});
  RectifiedFlow sampler(*backend_, {1000.0001f, 500}, 1.0, kLatent, mask);
  const VelocityModel model = constant_velocity();
  sampler.step(0, latent_, model, noise_of(0.0f));
  EXPECT_EQ(masks_.back(), "000");
  EXPECT_EQ(latent_.f32()[3], 3.0f);
  sampler.step(1, latent_, model, noise_of(0.0f));
  EXPECT_EQ(noised_steps_, std::vector<int>{1});
  EXPECT_EQ(masks_.back(), "");  // all active again
}

TEST_F(RectifiedFlowTest, NeedsNothingButLatentAndStepToGoOn) {
  const Tensor mask = mask_of({1.0f, 0.0f, 0.5f});
  const std::vector<float> times{1000, 750, 500, 250};
  const VelocityModel model = constant_velocity();
  const NoiseSource noise = [](int step, TensorView out) { fill_step_noise(out, 7, step); };
  RectifiedFlow whole(*backend_, times, 1.0, kLatent, mask);
  for (int step = 0; step < 2; ++step) whole.step(step, latent_, model, noise);
  Tensor resumed(kLatent, DType::kF32);
  std::memcpy(resumed.view().data(), latent_.view().data(), resumed.bytes());
  RectifiedFlow second(*backend_, times, 1.0, kLatent, mask);
  for (int step = 2; step < 4; ++step) {
    whole.step(step, latent_, model, noise);
    second.step(step, resumed, model, noise);
  }
  EXPECT_EQ(std::memcmp(resumed.view().data(), latent_.view().data(), resumed.bytes()), 0);
}

TEST_F(RectifiedFlowTest, RefusesAMaskValueOutsideOfZeroToOne) {
  const Tensor mask = mask_of({1.0f, 2.0f, 0.5f});
  EXPECT_THROW(RectifiedFlow(*backend_, {1000}, 1.0, kLatent, mask), Error);
}

TEST(Noise, OfAClipIsThatOfItsSeedAlone) {
  Tensor batch({2, 1, 2, 2, 2}, DType::kF32), alone({1, 1, 2, 2, 2}, DType::kF32);
  fill_initial_latent(batch, 42);
  fill_initial_latent(alone, 43);
  EXPECT_EQ(std::memcmp(batch.view().rows(1, 1).data(), alone.view().data(), alone.bytes()), 0);
  fill_step_noise(alone, 43, 1);
  EXPECT_NE(std::memcmp(batch.view().rows(1, 1).data(), alone.view().data(), alone.bytes()), 0);
}

}  // namespace
}  // namespace engine
