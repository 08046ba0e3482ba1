#include "samplers/diffusion_schedule.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "engine/error.h"

namespace engine {
namespace {

TEST(DiffusionSchedule, RunsFromAPictureToNoise) {
  const std::vector<double> betas = linear_betas(), alphas = cumulative_alphas(betas);
  ASSERT_EQ(betas.size(), 1000u);
  EXPECT_DOUBLE_EQ(betas.front(), 1e-4);
  EXPECT_DOUBLE_EQ(betas.back(), 0.02);
  EXPECT_DOUBLE_EQ(alphas[1], (1 - 1e-4) * (1 - (1e-4 + 0.0199 / 999)));
  EXPECT_NEAR(alphas.back(), 4.0358e-5, 1e-9);
}

TEST(DiffusionSchedule, VisitsThePublishedTimesteps) {
  const std::vector<int> fifty = respaced_timesteps(50);
  const std::vector<int> first(fifty.begin(), fifty.begin() + 8);
  EXPECT_EQ(first, (std::vector<int>{0, 20, 41, 61, 82, 102, 122, 143}));
  EXPECT_EQ(fifty.size(), 50u);
  EXPECT_EQ(fifty.back(), 999);
  // Multiples of 41.625: halves go to the even neighbour.
  const std::vector<int> few = respaced_timesteps(25);
  EXPECT_EQ(few[4], 166);
  EXPECT_EQ(few[12], 500);
}

TEST(DiffusionSchedule, VisitsEveryTimestepAtMostOnce) {
  for (const int steps : {2, 250, 999, 1000}) {
    const std::vector<int> timesteps = respaced_timesteps(steps);
    EXPECT_EQ(timesteps.size(), static_cast<size_t>(steps));
    EXPECT_TRUE(std::adjacent_find(timesteps.begin(), timesteps.end(), std::greater_equal<>()) ==
                timesteps.end());
    EXPECT_EQ(timesteps.front(), 0);
    EXPECT_EQ(timesteps.back(), 999);
  }
  EXPECT_EQ(respaced_timesteps(1), std::vector<int>{999});
}

TEST(DiffusionSchedule, RefusesMoreStepsThanItHas) {
  EXPECT_THROW(respaced_timesteps(0), Error);
  EXPECT_THROW(respaced_timesteps(1001), Error);
}

}  // namespace
}  // namespace engine
