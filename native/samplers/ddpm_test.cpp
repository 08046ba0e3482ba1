#include "samplers/ddpm.h"

#include <gtest/gtest.h>

#include <cstring>

#include "samplers/noise_model_test_support.h"

namespace engine {
namespace {

class DdpmTest : public testing::Test {
 protected:
  DdpmTest() : backend_(make_plain_backend()), alphas_(cumulative_alphas(linear_betas())) {}

  NoiseSource noise_of(float value) {
    return [this, value](int step, TensorView noise) {
      noised_steps_.push_back(step);
      for (int64_t i = 0; i < noise.elements(); ++i) noise.f32()[i] = value;
    };
  }

  // What one noise of 1 adds at the first of 1000 steps.
  double added(float variance) {
    KnownPicture known;
    known.set_variance(0, variance);
    Ddpm sampler(*backend_, 1000, kAllChannels, KnownPicture::shape());
    const Tensor quiet = KnownPicture::latent(alphas_[999]);
    const Tensor noisy = KnownPicture::latent(alphas_[999]);
    sampler.step(0, quiet, known.model(), noise_of(0));
    sampler.step(0, noisy, known.model(), noise_of(1));
    return static_cast<double>(noisy.f32()[0] - quiet.f32()[0]);
  }

  std::unique_ptr<Backend> backend_;
  std::vector<double> alphas_;
  std::vector<int> noised_steps_;
};

TEST_F(DdpmTest, WalksToTheMeanOfThePosterior) {
  KnownPicture known;
  Ddpm sampler(*backend_, 250, kAllChannels, KnownPicture::shape());
  const Tensor latent = KnownPicture::latent(alphas_[999]);
  sampler.step(0, latent, known.model(), noise_of(0));
  const double alpha = alphas_[999], next = alphas_[static_cast<size_t>(sampler.timestep(1))];
  const double ratio = alpha / next;
  for (int c = 0; c < 4; ++c) {
    const double mean =
        std::sqrt(next) * (1 - ratio) / (1 - alpha) * KnownPicture::picture(c) +
        std::sqrt(ratio) * (1 - next) / (1 - alpha) * KnownPicture::noised(c, alpha);
    EXPECT_NEAR(latent.f32()[c], mean, 1e-5);
  }
}

TEST_F(DdpmTest, LetsTheModelChooseTheVarianceBetweenItsBounds) {
  const double beta = 1 - alphas_[999] / alphas_[998];
  const double posterior = beta * (1 - alphas_[998]) / (1 - alphas_[999]);
  EXPECT_NEAR(added(1), std::sqrt(beta), 1e-5);
  EXPECT_NEAR(added(-1), std::sqrt(posterior), 1e-5);
  EXPECT_NEAR(added(0), std::pow(beta * posterior, 0.25), 1e-5);
}

TEST_F(DdpmTest, AddsNoNoiseAtTheLastStepAndEndsAtThePicture) {
  KnownPicture known;
  Ddpm sampler(*backend_, 4, kAllChannels, KnownPicture::shape());
  const Tensor latent = KnownPicture::latent(alphas_[0]);
  sampler.step(3, latent, known.model(), noise_of(1));
  EXPECT_TRUE(noised_steps_.empty());
  for (int c = 0; c < 4; ++c) EXPECT_NEAR(latent.f32()[c], KnownPicture::picture(c), 1e-6);
  for (int step = 0; step < 4; ++step) sampler.step(step, latent, known.model(), noise_of(1));
  EXPECT_EQ(noised_steps_, (std::vector<int>{0, 1, 2}));
}

TEST_F(DdpmTest, DrawsANoiseThatDependsOnSeedAndStepAlone) {
  KnownPicture known;
  const NoiseSource noise = [](int step, TensorView out) { fill_step_noise(out, 7, step); };
  Ddpm whole(*backend_, 8, kAllChannels, KnownPicture::shape());
  const Tensor latent = KnownPicture::latent(alphas_[999]);
  for (int step = 0; step < 3; ++step) whole.step(step, latent, known.model(), noise);
  Tensor resumed(KnownPicture::shape(), DType::kF32);
  std::memcpy(resumed.f32(), latent.f32(), latent.bytes());
  Ddpm second(*backend_, 8, kAllChannels, KnownPicture::shape());
  second.restore(whole.history());
  for (int step = 3; step < 8; ++step) {
    whole.step(step, latent, known.model(), noise);
    second.step(step, resumed, known.model(), noise);
  }
  EXPECT_EQ(std::memcmp(resumed.f32(), latent.f32(), latent.bytes()), 0);
}

}  // namespace
}  // namespace engine
