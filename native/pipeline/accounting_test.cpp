// What a render counts is what its plan said before it, call by call, under every policy there is:
// the figures that `estimate` prints are no model of the engine but its own.
#include <gtest/gtest.h>

#include "cache/cache_policy.h"
#include "pipeline/model_family.h"
#include "pipeline/model_plan.h"
#include "pipeline/test_support.h"

namespace engine {
namespace {

const std::filesystem::path kModel = TOCAFARM_DEMO_MODEL;

RenderRequest short_request(const std::string& policy) {
  RenderRequest request = small_request();
  request.frames = 5;
  request.height = 32;
  request.width = 32;
  request.steps = 8;  // toca's defaults have all its decisions in them
  request.policy = {.name = policy, .options = {}};
  return request;
}

void expect_same(const ModuleReport& counted, const PlannedModule& planned, int64_t tokens) {
  EXPECT_EQ(counted.layer, planned.layer);
  EXPECT_EQ(counted.block, planned.block);
  EXPECT_EQ(counted.module, planned.module);
  EXPECT_EQ(counted.decision, planned.decision);
  EXPECT_EQ(counted.tokens_computed, computed_halves(planned.decision) * planned.tokens);
  EXPECT_EQ(counted.tokens_computed + counted.tokens_reused, 2 * tokens);
  EXPECT_EQ(counted.flops, planned.flops);
}

TEST(Accounting, ARenderCountsWhatItsPlanSaidUnderEveryPolicy) {
  const auto engine = Engine::load({.model = kModel, .threads = 1});
  const ModelConfigs configs = read_model_configs(kModel);
  for (const std::string& name : policy_names()) {
    SCOPED_TRACE(name);
    const RenderRequest request = short_request(name);
    const Plan plan = make_plan(configs, request, DType::kF32);
    Recorder recorder;
    engine->render({.request = request, .initial_latent = {}, .save_latent = {}}, recorder,
                   recorder.signals);
    ASSERT_EQ(recorder.steps.size(), plan.steps.size());
    double flops = 0, flops_none = 0;
    for (size_t step = 0; step < plan.steps.size(); ++step) {
      const StepReport& counted = recorder.steps[step];
      const PlannedStep& planned = plan.steps[step];
      ASSERT_EQ(counted.modules.size(), planned.modules.size());
      flops += counted.flops;
      flops_none += counted.flops_none;
      // Where a dynamic policy runs the trunk, its modules do what the plan says of them, or are
      // forecast.
      if (plan.dynamic && counted.trunk != TrunkDecision::kRun) {
        EXPECT_LT(counted.flops, planned.flops);  // layers outside of a span run all the same
        continue;
      }
      EXPECT_EQ(counted.trunk, planned.trunk);
      for (size_t i = 0; i < planned.modules.size(); ++i) {
        if (plan.dynamic && counted.modules[i].decision == Decision::kForecast) {
          EXPECT_EQ(counted.modules[i].tokens_computed, 0);
          EXPECT_EQ(counted.modules[i].flops, 0);
          continue;
        }
        expect_same(counted.modules[i], planned.modules[i], plan.tokens);
      }
      if (!plan.dynamic) {
        EXPECT_EQ(counted.flops, planned.flops);
      }
    }
    if (!plan.dynamic) {
      EXPECT_EQ(flops, plan.flops);
    }
    EXPECT_NEAR(flops_none, plan.flops_none, 1e-9 * plan.flops_none);  // shared out evenly
  }
}

}  // namespace
}  // namespace engine
