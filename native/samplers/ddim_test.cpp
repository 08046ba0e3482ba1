#include "samplers/ddim.h"

#include <gtest/gtest.h>

#include "samplers/noise_model_test_support.h"

namespace engine {
namespace {

TEST(Ddim, WalksBackToThePicture) {
  const auto backend = make_plain_backend();
  KnownPicture known;
  Ddim sampler(*backend, 50, kAllChannels, KnownPicture::shape());
  const std::vector<double> alphas = cumulative_alphas(linear_betas());
  const Tensor latent = KnownPicture::latent(alphas[999]);
  for (int step = 0; step < sampler.steps(); ++step) {
    sampler.step(step, latent, known.model(), {});
    const double level = step == 49 ? 1.0 : alphas[static_cast<size_t>(sampler.timestep(step + 1))];
    for (int c = 0; c < 4; ++c) {
      EXPECT_NEAR(latent.f32()[c], KnownPicture::noised(c, level), 2e-4) << step;
    }
  }
  EXPECT_EQ(known.times.front(), 999);
  EXPECT_EQ(known.times[1], 979);
  EXPECT_EQ(known.times.back(), 0);
}

TEST(Ddim, GuidesOnlyTheChannelsThatItIsTold) {
  const auto backend = make_plain_backend();
  KnownPicture known;
  Ddim sampler(*backend, 1000, {.scale = 2.0, .channels = 3}, KnownPicture::shape());
  const std::vector<double> alphas = cumulative_alphas(linear_betas());
  const Tensor latent = KnownPicture::latent(alphas[999]);
  sampler.step(0, latent, known.model(), {});
  EXPECT_NEAR(latent.f32()[2], KnownPicture::noised(2, alphas[998]), 1e-5);
  // The fourth channel's prediction is the conditional one: half of its noise.
  const double x = KnownPicture::noised(3, alphas[999]);
  const double e = static_cast<double>(KnownPicture::noise(3)) / 2;
  const double picture = (x - std::sqrt(1 - alphas[999]) * e) / std::sqrt(alphas[999]);
  EXPECT_NEAR(latent.f32()[3], std::sqrt(alphas[998]) * picture + std::sqrt(1 - alphas[998]) * e,
              1e-5);
}

TEST(Ddim, CarriesNothingFromStepToStep) {
  const auto backend = make_plain_backend();
  Ddim sampler(*backend, 4, kAllChannels, KnownPicture::shape());
  EXPECT_TRUE(sampler.history().empty());
  EXPECT_NO_THROW(sampler.restore({}));
}

}  // namespace
}  // namespace engine
