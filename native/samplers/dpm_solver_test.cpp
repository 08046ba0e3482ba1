#include "samplers/dpm_solver.h"

#include <gtest/gtest.h>

#include <cstring>

#include "engine/error.h"
#include "samplers/noise_model_test_support.h"

namespace engine {
namespace {

class DpmSolverTest : public testing::Test {
 protected:
  DpmSolverTest() : backend_(make_plain_backend()), alphas_(cumulative_alphas(linear_betas())) {}

  DpmSolver sampler(int steps) {
    return DpmSolver(*backend_, steps, kAllChannels, KnownPicture::shape());
  }

  std::unique_ptr<Backend> backend_;
  std::vector<double> alphas_;
};

TEST_F(DpmSolverTest, FollowsAKnownPictureExactly) {
  for (const int steps : {1, 2, 9, 20}) {
    KnownPicture known;
    DpmSolver solver = sampler(steps);
    const Tensor latent = KnownPicture::latent(alphas_[999]);
    for (int step = 0; step < steps; ++step) solver.step(step, latent, known.model(), {});
    // The last time is that of the first trained timestep, not 0.
    for (int c = 0; c < 4; ++c) {
      EXPECT_NEAR(latent.f32()[c], KnownPicture::noised(c, alphas_[0]), 2e-4) << steps;
    }
  }
}

TEST_F(DpmSolverTest, AsksAtTimesEvenlySpacedInT) {
  const DpmSolver solver = sampler(20);
  EXPECT_FLOAT_EQ(solver.timestep(0), 999.0f);
  EXPECT_FLOAT_EQ(solver.timestep(1), 949.05f);
  EXPECT_FLOAT_EQ(solver.timestep(19), 49.95f);
}

// With the logarithm of alpha / sigma as time, a picture prediction that has changed by d over the
// last step of length h is worth d / 2 · (this step's length / h) more in the next one.
TEST_F(DpmSolverTest, ExtrapolatesFromTheLastTwoPictures) {
  DpmSolver solver = sampler(20);
  Tensor latent(KnownPicture::shape(), DType::kF32);
  std::memset(latent.f32(), 0, latent.bytes());
  Tensor output({2, 8, 1, 1, 1}, DType::kF32);
  std::memset(output.f32(), 0, output.bytes());
  // From latent 0 the picture is -sigma / alpha times the predicted noise.
  const auto at = [&](double timestep) {
    const double place = std::min(timestep, 998.0);
    const auto below = static_cast<size_t>(place);
    const double share = timestep - static_cast<double>(below);
    const double log_alpha =
        0.5 * ((1 - share) * std::log(alphas_[below]) + share * std::log(alphas_[below + 1]));
    const double sigma = std::sqrt(1 - std::exp(2 * log_alpha));
    return std::pair{std::exp(log_alpha), sigma};
  };
  const auto [alpha0, sigma0] = at(999);
  const auto [alpha1, sigma1] = at(949.05);
  const auto [alpha2, sigma2] = at(899.1);
  const auto log_ratio = [](double alpha, double sigma) { return std::log(alpha / sigma); };
  const double h1 = log_ratio(alpha1, sigma1) - log_ratio(alpha0, sigma0);
  const double h2 = log_ratio(alpha2, sigma2) - log_ratio(alpha1, sigma1);
  // Picture 1, then picture 3.
  double wanted = 1;
  const NoiseModel model = [&](const NoiseRequest& request) -> ConstTensorView {
    const auto [alpha, sigma] =
        request.step == 0 ? std::pair{alpha0, sigma0} : std::pair{alpha1, sigma1};
    const double x = static_cast<double>(request.latent.f32()[0]);
    output.f32()[0] = output.f32()[8] = static_cast<float>((x - alpha * wanted) / sigma);
    return output;
  };
  solver.step(0, latent, model, {});
  const double x1 = -alpha1 * std::expm1(-h1);
  EXPECT_NEAR(latent.f32()[0], x1, 1e-6);
  EXPECT_NEAR(solver.history().f32()[0], 1, 1e-3);
  wanted = 3;
  solver.step(1, latent, model, {});
  const double change = (3.0 - 1.0) * h2 / h1;
  EXPECT_NEAR(latent.f32()[0], sigma2 / sigma1 * x1 - alpha2 * std::expm1(-h2) * (3 + change / 2),
              1e-5);
}

TEST_F(DpmSolverTest, GoesOnWithTheSameBitsFromLatentAndHistory) {
  const auto unsteady = [](const NoiseRequest& request) -> ConstTensorView {
    static Tensor output({2, 4, 1, 1, 1}, DType::kF32);
    for (int i = 0; i < 8; ++i) {
      output.f32()[i] = 0.3f * request.latent.f32()[i % 4] + 0.01f * static_cast<float>(i);
    }
    return output;
  };
  DpmSolver whole = sampler(12), second = sampler(12);
  const Tensor latent = KnownPicture::latent(alphas_[999]);
  EXPECT_TRUE(whole.history().empty());
  for (int step = 0; step < 5; ++step) whole.step(step, latent, unsteady, {});
  Tensor resumed(KnownPicture::shape(), DType::kF32);
  std::memcpy(resumed.f32(), latent.f32(), latent.bytes());
  second.restore(whole.history());
  for (int step = 5; step < 12; ++step) {
    whole.step(step, latent, unsteady, {});
    second.step(step, resumed, unsteady, {});
  }
  EXPECT_EQ(std::memcmp(resumed.f32(), latent.f32(), latent.bytes()), 0);
}

TEST_F(DpmSolverTest, NeedsTheHistoryForAllButAFirstOrderStep) {
  KnownPicture known;
  const Tensor latent = KnownPicture::latent(alphas_[500]);
  EXPECT_THROW(sampler(12).step(11, latent, known.model(), {}), Error);
  EXPECT_THROW(sampler(9).step(7, latent, known.model(), {}), Error);
  EXPECT_NO_THROW(sampler(9).step(8, latent, known.model(), {}));
}

TEST_F(DpmSolverTest, RefusesNoStepsAndTooMany) {
  EXPECT_THROW(sampler(0), Error);
  EXPECT_THROW(sampler(1001), Error);
}

}  // namespace
}  // namespace engine
