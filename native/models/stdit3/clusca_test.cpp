// What clusca asks of a model, to the bit, on the tiny golden model.
#include <map>
#include <set>

#include "models/stdit3/model_test_support.h"

namespace engine {
namespace {

PolicySpec clusca(const char* clusters, const char* weight = "0.3") {
  return {"clusca", {{"clusters", clusters}, {"weight", weight}}};
}

TEST_F(STDiT3Test, AGroupsTokenIsTheSameForBothHalvesAndDrawnAnewAtEveryStep) {
  std::map<int, std::set<std::vector<int32_t>>> choices;  // by block and step
  StepHooks hooks;
  hooks.want_indices = true;
  hooks.on_module = [&](const ModuleReport& report) {
    if (report.step < 3 || report.step == 5) return;  // full
    EXPECT_FALSE(report.drift);
    EXPECT_EQ(report.tokens_computed, report.module == Module::kMlp ? 2 * 4 : 0);
    EXPECT_EQ(report.decision,
              report.module == Module::kMlp ? Decision::kPartial : Decision::kForecast);
    if (report.module != Module::kMlp) return;
    ASSERT_EQ(report.indices.shape(), (Shape{2, 4}));
    const int32_t* const chosen = report.indices.i32();
    const std::vector<int32_t> first(chosen, chosen + 4), second(chosen + 4, chosen + 8);
    EXPECT_EQ(first, second);
    choices[2 * report.layer + (report.block == BlockKind::kTemporal)].insert(first);
  };
  run({{1, 3}}, clusca("4"), 0, kSteps, nullptr, hooks);
  EXPECT_EQ(choices.size(), 4u);
  for (const auto& [block, of_steps] : choices) EXPECT_GT(of_steps.size(), 1u) << block;
}

TEST_F(STDiT3Test, GroupsOfAClipDependNeitherOnItsNeighboursNorOnThreads) {
  const Tensor batch = run({{1, 3}, {2, 6}}, clusca("4"));
  const Tensor alone = run({{2, 6}}, clusca("4"));
  EXPECT_TRUE(same_bits(batch.view().rows(1, 1), alone));
  EXPECT_FALSE(same_bits(alone, run({{2, 6}}, clusca("5"))));
  EXPECT_FALSE(same_bits(alone, run({{2, 6}}, clusca("4", "0.4"))));
  EXPECT_FALSE(same_bits(alone, run({{2, 6}}, {"taylorseer", {}})));
  backend_ = make_backend(3);
  weights_ = load_tiny();
  EXPECT_TRUE(same_bits(batch, run({{1, 3}, {2, 6}}, clusca("4"))));
}

// Attention forecast between the full steps of clusca, MLPs computed at every step.
class FullMlpPolicy : public CachePolicy {
 public:
  ModuleDecision decide(const ModuleSite& site) const override {
    const bool full = site.step < 3 || site.step == 5;
    return full || site.module == Module::kMlp ? ModuleDecision{Decision::kRefresh, 12}
                                               : ModuleDecision{Decision::kForecast, 0};
  }
  bool is_refresh_point(int step) const override { return step == 0; }
  CacheNeeds needs() const override { return {.features = true, .orders = 1}; }
};

TEST_F(STDiT3Test, WhereEveryTokenIsAGroupAllMlpsAreComputed) {
  const Tensor all = run_policy({{1, 3}}, FullMlpPolicy());
  for (const char* const weight : {"0", "1"}) {
    EXPECT_TRUE(same_bits(all, run({{1, 3}}, clusca("12", weight)))) << weight;
    EXPECT_TRUE(same_bits(all, run({{1, 3}}, clusca("1000", weight)))) << weight;
  }
}

}  // namespace
}  // namespace engine
