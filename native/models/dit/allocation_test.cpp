// A step allocates nothing: what it needs is planned at load, or grows in the first clip. The model
// of the images: the same blocks serve PixArt-alpha.
#include "models/transformer/allocation_test_support.h"

#include <gtest/gtest.h>

#include <vector>

#include "models/dit/model.h"
#include "models/transformer/promises_test_support.h"
#include "samplers/noise.h"

namespace engine {
namespace {

constexpr int kSteps = 8;

class DitAllocationTest : public testing::TestWithParam<PolicySpec> {
 protected:
  // Allocations of every step of a clip.
  std::vector<int64_t> count(Dit& model) {
    model.condition(std::vector<int32_t>{3});
    model.seed(std::vector<uint64_t>{1});
    Tensor latent({1, 4, 1, 16, 16}, DType::kF32);
    fill_initial_latent(latent, 1);
    std::vector<int64_t> counts;
    for (int step = 0; step < kSteps; ++step) {
      const std::vector<float> times{900.0f - 100.0f * static_cast<float>(step)};
      const AllocationCounter counter;
      model.step({.step = step, .latent = latent, .timesteps = times}, {});
      counts.push_back(counter.count());
    }
    return counts;
  }
};

TEST_P(DitAllocationTest, AStepAllocatesNothingOnceAClipIsThrough) {
  for (const int threads : {1, 2}) {
    const auto backend = make_backend(threads);
    const DitWeights weights =
        load_dit(std::string(TOCAFARM_TEST_DATA) + "/models/dit-tiny", *backend, DType::kF32);
    const auto policy = make_policy(GetParam(), {.steps = kSteps,
                                                 .depth = weights.config.joint.depth,
                                                 .tokens = 64,
                                                 .temporal_blocks = false,
                                                 .cross_attention = false,
                                                 .published = PublishedSettings::kDitDdim});
    const JointShape shape{.clips = 1, .latent_height = 16, .latent_width = 16};
    Dit model(*backend, weights, shape, *policy);
    count(model);
    EXPECT_EQ(count(model), std::vector<int64_t>(kSteps, 0)) << threads;
  }
}

INSTANTIATE_TEST_SUITE_P(Policies, DitAllocationTest,
                         testing::Values(PolicySpec{"none", {}}, PolicySpec{"toca", {}},
                                         PolicySpec{"fora", {}}, PolicySpec{"duca", {}},
                                         PolicySpec{"taylorseer", {}}, PolicySpec{"mask", {}}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace engine
