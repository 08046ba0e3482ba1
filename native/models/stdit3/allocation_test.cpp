// A step allocates nothing: what it needs is planned at load, or grows in the first clip.
#include "models/transformer/allocation_test_support.h"

#include "models/stdit3/model_test_support.h"

namespace engine {
namespace {

class AllocationTest : public STDiT3Test, public testing::WithParamInterface<PolicySpec> {
 protected:
  // Allocations of every step of a clip.
  std::vector<int64_t> count(STDiT3& model, const STDiT3Text& text) {
    model.condition(text, std::vector<float>{24.0f});
    model.seed(std::vector<uint64_t>{1});
    Tensor latent({1, 4, 2, 4, 5}, DType::kF32);
    fill_initial_latent(latent, 1);
    std::vector<int64_t> counts;
    for (int step = 0; step < kSteps; ++step) {
      const std::vector<float> times{1000.0f - 100.0f * static_cast<float>(step)};
      const AllocationCounter counter;
      model.step({.step = step, .latent = latent, .timesteps = times, .x_mask = {}}, {});
      counts.push_back(counter.count());
    }
    return counts;
  }
};

TEST(AllocationCounter, SeesWhatOperatorNewAndATensorTake) {
  const AllocationCounter counter;
  const auto number = std::make_unique<int>(1);
  const Tensor tensor({1}, DType::kF32);
  EXPECT_EQ(counter.count(), 2) << *number;
}

TEST_P(AllocationTest, AStepAllocatesNothingOnceAClipIsThrough) {
  const auto policy =
      make_policy(GetParam(), {.steps = kSteps, .depth = weights_.config.depth, .tokens = 12});
  const STDiT3Shape shape{.clips = 1,
                          .latent_frames = 2,
                          .latent_height = 4,
                          .latent_width = 5,
                          .pixel_height = 32,
                          .pixel_width = 40};
  for (const int threads : {1, 2}) {
    backend_ = make_backend(threads);
    weights_ = load_tiny();
    STDiT3 model(*backend_, weights_, shape, *policy);
    const STDiT3Text text = encode({{1, 4}});
    count(model, text);
    EXPECT_EQ(count(model, text), std::vector<int64_t>(kSteps, 0)) << threads;
  }
}

INSTANTIATE_TEST_SUITE_P(Policies, AllocationTest,
                         testing::Values(PolicySpec{"none", {}}, PolicySpec{"toca", {}},
                                         PolicySpec{"fora", {}}, PolicySpec{"pab", {}},
                                         PolicySpec{"duca", {}}, PolicySpec{"taylorseer", {}},
                                         PolicySpec{"mask", {}}, PolicySpec{"teacache", {}}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace engine
