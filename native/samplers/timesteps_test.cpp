#include "samplers/timesteps.h"

#include <gtest/gtest.h>

#include <cmath>

namespace engine {
namespace {

TEST(Timesteps, AreThePublishedOnesFor480pTwoSeconds) {
  const auto times = rectified_flow_timesteps(
      {.steps = 30, .pixel_height = 480, .pixel_width = 854, .frames = 51, .latent_frames = 15});
  const std::vector<int> published{1000, 993, 985, 978, 969, 960, 951, 941, 930, 919,
                                   906,  893, 879, 864, 847, 829, 809, 787, 764, 737,
                                   708,  675, 638, 596, 548, 492, 427, 350, 257, 143};
  ASSERT_EQ(times.size(), published.size());
  for (size_t i = 0; i < times.size(); ++i) EXPECT_EQ(std::lround(times[i]), published[i]) << i;
}

TEST(Timesteps, AreEvenWithoutTheTransform) {
  const auto times = rectified_flow_timesteps(
      {.steps = 4, .time_transform = false, .pixel_height = 64, .pixel_width = 64});
  EXPECT_EQ(times, (std::vector<float>{1000, 750, 500, 250}));
}

TEST(Timesteps, OfAnImageDependOnItsSizeAlone) {
  const auto times =
      rectified_flow_timesteps({.steps = 2, .pixel_height = 512, .pixel_width = 512});
  EXPECT_EQ(times, (std::vector<float>{1000, 500}));
}

TEST(Timesteps, OfTwoToSixteenFramesCountLatentFrames) {
  TimestepSettings settings{
      .steps = 4, .pixel_height = 512, .pixel_width = 512, .frames = 16, .latent_frames = 4};
  for (const float time : rectified_flow_timesteps(settings)) EXPECT_TRUE(time > 0);
  EXPECT_FLOAT_EQ(rectified_flow_timesteps(settings)[2], 1000 * 2 * 0.5f / (1 + 0.5f));
  settings.upstream_fidelity = true;
  EXPECT_TRUE(std::isnan(rectified_flow_timesteps(settings)[0]));  // 0 / 0, as published
}

TEST(Timesteps, PassAThousandOnlyWithTheDefectsOfThePublishedCode) {
  TimestepSettings settings{
      .steps = 8, .pixel_height = 48, .pixel_width = 64, .frames = 17, .latent_frames = 5};
  EXPECT_EQ(rectified_flow_timesteps(settings)[0], 1000.0f);
  settings.upstream_fidelity = true;
  EXPECT_GT(rectified_flow_timesteps(settings)[0], 1000.0f);
}

}  // namespace
}  // namespace engine
