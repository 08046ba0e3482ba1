// Steps that compute the conditional half of the guidance pair alone, on the tiny golden model.
#include <map>

#include "engine/error.h"
#include "models/stdit3/model_test_support.h"

namespace engine {
namespace {

// Both halves at step 0, the conditional one at 1 and 2.
const PolicySpec kHalves{"fastercache", {{"from", "1"}, {"interval", "3"}}};  // NOLINT: read-only

// Every tensor of a step that its tap is shown.
struct Seen {
  std::map<std::string, Tensor> tensors;

  StepHooks hooks() {
    StepHooks hooks;
    hooks.tap = [this](const std::string& name, ConstTensorView tensor) {
      Tensor copy(tensor.shape(), tensor.dtype());
      std::memcpy(copy.view().data(), tensor.data(), tensor.bytes());
      tensors[name] = std::move(copy);
    };
    return hooks;
  }
};

TEST_F(STDiT3Test, TheConditionalHalfAloneHasTheBitsThatItHasInAPair) {
  Tensor mask({1, 2}, DType::kF32);
  mask.f32()[0] = 0.0f;
  mask.f32()[1] = 1.0f;
  for (const ConstTensorView& frames : {ConstTensorView(), ConstTensorView(mask)}) {
    Seen alone, pair;
    run({{1, 3}}, kHalves, 0, 2, nullptr, alone.hooks(), frames);
    run({{1, 3}}, {}, 0, 2, nullptr, pair.hooks(), frames);
    for (const std::string name : {"x_in", "block.0.spatial", "block.1.temporal", "final_tokens"}) {
      const Tensor &half = alone.tensors.at(name), &both = pair.tensors.at(name);
      ASSERT_EQ(half.dim(0), 1) << name;
      ASSERT_EQ(both.dim(0), 2) << name;
      EXPECT_TRUE(same_bits(half, both.view().rows(0, 1))) << name;
    }
  }
}

TEST_F(STDiT3Test, HalfOfTheTokensAreComputedAndTheOthersCountAsReused) {
  int64_t halves = 0;
  StepHooks hooks;
  hooks.on_module = [&](const ModuleReport& report) {
    const bool half = report.step % 3 != 0;
    halves += half ? 1 : 0;
    EXPECT_EQ(report.decision, half ? Decision::kConditional : Decision::kRefresh);
    EXPECT_EQ(report.tokens_computed, half ? 12 : 2 * 12);
    EXPECT_EQ(report.tokens_computed + report.tokens_reused, 2 * 12);
  };
  const Tensor clip = run({{1, 3}}, kHalves, 0, kSteps, nullptr, hooks);
  EXPECT_EQ(halves, 5 * 4 * 3);  // steps 1, 2, 4, 5 and 7
  EXPECT_FALSE(same_bits(clip, run({{1, 3}}, {})));
  EXPECT_TRUE(same_bits(run({{1, 3}}, {"fastercache", {{"from", "8"}}}), run({{1, 3}}, {})));
}

TEST_F(STDiT3Test, AStepOfOneHalfComesAfterOneOfBoth) {
  EXPECT_THROW(run({{1, 3}}, kHalves, 1), Error);
}

}  // namespace
}  // namespace engine
