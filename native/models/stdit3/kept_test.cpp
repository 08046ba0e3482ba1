// What a cache in fewer bits means for a model, on the tiny golden one: it is near the one in fp32,
// computes what is not reused to the bit, and depends on nothing that fp32 does not depend on.
#include <cmath>

#include "models/stdit3/model_test_support.h"

namespace engine {
namespace {

PolicySpec in(const char* dtype, PolicySpec spec) {
  spec.options["cache_dtype"] = dtype;
  return spec;
}

// Root of the mean square.
double distance(const Tensor& a, const Tensor& b) {
  double squares = 0;
  for (int64_t i = 0; i < a.elements(); ++i) {
    const double difference = static_cast<double>(a.f32()[i]) - static_cast<double>(b.f32()[i]);
    squares += difference * difference;
  }
  return std::sqrt(squares / static_cast<double>(a.elements()));
}

const std::vector<PolicySpec>& policies() {
  static const std::vector<PolicySpec> all{
      {"fora", {{"interval", "3"}}},
      {"toca", {{"fresh_ratio", "0.3"}}},
      {"toca", {{"fresh_ratio", "0.3"}, {"score", "similarity"}}},
      {"toca-shared", {{"fresh_ratio", "0.3"}}},
      {"duca", {{"fresh_ratio", "0.3"}}},
      {"taylorseer", {}},
      {"taylorseer_lite", {}},
      {"clusca", {{"clusters", "4"}}},
      {"tgate", {{"gate", "3"}}}};
  return all;
}

TEST_F(STDiT3Test, ACacheInFewerBitsIsNearTheOneInFp32) {
  for (const PolicySpec& policy : policies()) {
    SCOPED_TRACE(policy.name);
    const Tensor exact = run({{1, 3}}, policy);
    EXPECT_TRUE(same_bits(exact, run({{1, 3}}, in("fp32", policy))));
    const double bf16 = distance(run({{1, 3}}, in("bf16", policy)), exact);
    const double fp8 = distance(run({{1, 3}}, in("fp8", policy)), exact);
    EXPECT_GT(bf16, 0);
    EXPECT_LT(bf16, fp8);
    EXPECT_LT(fp8, 0.1 * distance(exact, run({{2, 3}}, policy)));  // of another clip
  }
}

TEST_F(STDiT3Test, WhatIsNotReusedHasTheBitsOfNoneWhateverTheCacheHolds) {
  const Tensor none = run({{1, 3}}, {});
  for (const char* const dtype : {"bf16", "fp8"}) {
    EXPECT_TRUE(same_bits(none, run({{1, 3}}, in(dtype, {"fora", {{"interval", "1"}}}))));
    EXPECT_TRUE(same_bits(none, run({{1, 3}}, in(dtype, {"taylorseer", {{"interval", "1"}}}))));
  }
}

TEST_F(STDiT3Test, AResidualAloneStaysAsItIs) {
  const PolicySpec mask{"mask", {{"compute", "0,1,4"}}};
  EXPECT_TRUE(same_bits(run({{1, 3}}, mask), run({{1, 3}}, in("fp8", mask))));
}

TEST_F(STDiT3Test, ACacheInFewerBitsDependsOnNeitherNeighboursNorThreads) {
  const PolicySpec toca{"toca", {{"fresh_ratio", "0.3"}, {"score", "similarity"}}};
  for (const PolicySpec& policy : std::vector<PolicySpec>{toca, {"taylorseer", {}}, {"duca", {}}}) {
    for (const char* const dtype : {"bf16", "fp8"}) {
      SCOPED_TRACE(policy.name);
      const PolicySpec spec = in(dtype, policy);
      backend_ = make_backend(2);
      weights_ = load_tiny();
      const Tensor both = run({{1, 3}, {2, 6}}, spec);
      backend_ = make_backend(3);
      weights_ = load_tiny();
      EXPECT_TRUE(same_bits(both.view().rows(0, 1), run({{1, 3}}, spec)));
      EXPECT_TRUE(same_bits(both.view().rows(1, 1), run({{2, 6}}, spec)));
    }
  }
}

TEST_F(STDiT3Test, DriftIsThatOfWhatWasReallyReused) {
  // Every step of a policy that reuses once and refreshes then: what the rounding adds is seen.
  const auto drift_of = [&](const char* dtype) {
    double total = 0;
    StepHooks hooks;
    hooks.on_module = [&](const ModuleReport& report) { total += report.drift.value_or(0); };
    run({{1, 3}}, in(dtype, {"fora", {{"interval", "2"}, {"warm", "1"}}}), 0, kSteps, nullptr,
        hooks);
    return total;
  };
  EXPECT_GT(drift_of("fp32"), 0);
  EXPECT_GT(drift_of("fp8"), drift_of("fp32"));
}

}  // namespace
}  // namespace engine
