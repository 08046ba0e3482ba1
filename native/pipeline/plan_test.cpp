// Plans of the published model, worked out by hand from caching-policies.md and
// open-sora-formats.md.
#include "pipeline/plan.h"

#include <gtest/gtest.h>

#include "engine/error.h"
#include "models/stdit3/weights.h"
#include "pipeline/families.h"

namespace engine {
namespace {

// STDiT3-XL/2 at 480p 9:16, 51 frames.
RenderRequest published(const PolicySpec& policy = {}) {
  RenderRequest request;
  request.height = 480;
  request.width = 854;
  request.policy = policy;
  return request;
}

Plan plan_of(const RenderRequest& request) {
  return make_plan(*make_stdit3_family(STDiT3Config{}), request, DType::kF32, {});
}

TEST(Plan, CountsLatentsAndTokens) {
  const Plan plan = plan_of(published());
  EXPECT_EQ(plan.latent_frames, 15);
  EXPECT_EQ(plan.tokens_per_frame, 1590);
  EXPECT_EQ(plan.tokens, 23850);
  EXPECT_EQ(plan.output_height, 480);
  EXPECT_EQ(plan.output_width, 848);
  RenderRequest request;
  for (const auto& [frames, latent] :
       {std::pair{1, 1}, {16, 4}, {17, 5}, {34, 10}, {51, 15}, {22, 7}, {408, 120}}) {
    request.frames = frames;
    EXPECT_EQ(latent_size(request).frames, latent) << frames;
  }
}

TEST(Plan, SavesThePublishedShareOfFlops) {
  const Plan plan = plan_of(published({"toca", {}}));
  EXPECT_NEAR(plan.flops_none / 1e12, 3286, 0.5);
  EXPECT_NEAR(plan.flops / 1e12, 1394, 0.5);
  EXPECT_NEAR(plan.flops_none / plan.flops, 2.357, 0.0005);
  EXPECT_DOUBLE_EQ(plan_of(published()).flops_none, plan.flops_none);
}

TEST(Plan, CountsWhatASkippedTrunkSaves) {
  const Plan duca = plan_of(published({"duca", {}}));
  EXPECT_NEAR(duca.flops / 1e12, 1318, 0.005 * 1318);
  EXPECT_NEAR(duca.flops_none / duca.flops, 2.49, 0.005);
  EXPECT_EQ(duca.steps[5].trunk, TrunkDecision::kReuse);
  EXPECT_EQ(duca.steps[5].flops, 0);
  EXPECT_EQ(duca.steps[5].modules[0].decision, Decision::kReuse);
  EXPECT_FALSE(duca.dynamic);
  // The output of the trunk beside what toca keeps, but for the entropies.
  const uint64_t tokens = 2 * 23850;
  EXPECT_EQ(duca.cache_bytes, plan_of(published({"toca", {{"score", "value_norm"}}})).cache_bytes +
                                  4 * tokens * 1152);
}

TEST(Plan, CountsHalfOfAStepThatComputesTheConditionalHalf) {
  const Plan plan = plan_of(published({"fastercache", {}}));
  const PlannedStep &both = plan.steps[11], &half = plan.steps[12];
  EXPECT_EQ(half.flops, both.flops / 2);
  EXPECT_EQ(half.modules[0].decision, Decision::kConditional);
  EXPECT_EQ(half.modules[0].tokens, 23850);
  EXPECT_EQ(half.trunk, TrunkDecision::kRun);
  EXPECT_NEAR(plan.flops, plan.flops_none * 22.5 / 30, 1.0);  // 15 of 30 steps are halves
  // Two differences of the latent's size, 4 channels of 15 frames of 60x106.
  EXPECT_EQ(plan.cache_bytes, 2u * 4 * 4 * 15 * 60 * 106);
  EXPECT_EQ(refresh_points(plan).size(), 15u);
  EXPECT_TRUE(plan.warnings.empty());
  EXPECT_NE(plan.digest, plan_of(published({"fastercache", {{"low_weight", "1.1"}}})).digest);
  const Plan never = plan_of(published({"fastercache", {{"from", "30"}}}));
  EXPECT_NE(never.warnings.at(0).find("policy fastercache reuses nothing"), std::string::npos);
}

TEST(Plan, ExpectsOfADynamicPolicyAndSaysSo) {
  const Plan plan = plan_of(published({"teacache", {{"delta", "0.2"}}}));
  EXPECT_TRUE(plan.dynamic);
  EXPECT_EQ(plan.steps[0].run_share, 1);
  EXPECT_NEAR(plan.steps[1].run_share, 1 / 2.25, 0.02);
  EXPECT_NEAR(plan.steps[1].flops, plan.steps[0].flops * plan.steps[1].run_share, 1);
  ASSERT_EQ(plan.warnings.size(), 1u);
  EXPECT_NE(plan.warnings[0].find("what is expected"), std::string::npos);
  EXPECT_EQ(refresh_points(plan).size(), 30u);
  // Decisions follow from the bound: another one is another plan.
  EXPECT_NE(plan.digest, plan_of(published({"teacache", {{"delta", "0.21"}}})).digest);
  EXPECT_EQ(plan.digest, plan_of(published({"teacache", {{"delta", "0.20"}}})).digest);
}

TEST(Plan, NamesRefreshPointsAndTimes) {
  const Plan plan = plan_of(published({"toca", {}}));
  ASSERT_EQ(plan.steps.size(), 30u);
  for (const PlannedStep& step : plan.steps) EXPECT_EQ(step.modules.size(), 28u * 2 * 3);
  EXPECT_EQ(refresh_points(plan), (std::vector<int>{0, 1, 2, 6, 12, 18, 24}));
  EXPECT_EQ(plan.steps[0].timestep, 1000);
  EXPECT_NEAR(plan.steps[29].timestep, 143, 0.5);
}

TEST(Plan, RunsFewerStepsUnderStepsAndSavesTheirFlops) {
  const Plan plan = plan_of(published({"steps", {}}));
  EXPECT_EQ(plan.steps.size(), 15u);
  EXPECT_EQ(refresh_points(plan).size(), 15u);
  EXPECT_EQ(plan.steps.back().step, 14);
  EXPECT_NEAR(plan.flops, plan.flops_none / 2, 1.0);
}

TEST(Plan, CountsTheBytesOfTheCache) {
  const Plan plan = plan_of(published({"toca", {}}));
  // 168 features, 112 counters and 56 entropies of both halves; 256 rows to measure drift on.
  const uint64_t tokens = 2 * 23850;
  EXPECT_EQ(plan.cache_bytes, 4 * tokens * (168 * 1152 + 112 + 56) + 4 * 256 * (1152 + 1));
  EXPECT_EQ(plan_of(published()).cache_bytes, 0u);
  EXPECT_GT(plan.peak_bytes, plan.cache_bytes);
  const uint64_t weights = stdit3_weights_bytes(STDiT3Config{}, DType::kF32);
  const uint64_t huge = uint64_t{1} << 50;
  const auto bytes_with = [](const PlanBytes& other) {
    return make_plan(*make_stdit3_family(STDiT3Config{}), published(), DType::kF32, other);
  };
  const Plan decoding = bytes_with({.weights = 5, .decode = huge, .text_encoder = 7});
  EXPECT_EQ(decoding.peak_bytes, 5 + 7 + weights + huge);
  EXPECT_EQ(decoding.peak_bytes_prompt_kept, 5 + weights + huge);
  const Plan encoding = bytes_with({.weights = 5, .text_encoder = 7, .text_encoding = huge});
  EXPECT_EQ(encoding.peak_bytes, 5 + 7 + weights + huge);
  EXPECT_EQ(encoding.peak_bytes_prompt_kept, plan_of(published()).peak_bytes + 5);
}

TEST(Plan, CountsTheBytesOfACacheInFewerBits) {
  const auto bytes_of = [](const char* policy, const char* dtype) {
    return plan_of(published({policy, {{"cache_dtype", dtype}}})).cache_bytes;
  };
  const uint64_t rows = uint64_t{168} * 2 * 23850, values = rows * 1152;
  EXPECT_EQ(bytes_of("toca", "fp32"), plan_of(published({"toca", {}})).cache_bytes);
  EXPECT_EQ(bytes_of("toca", "bf16"), bytes_of("toca", "fp32") - 2 * values);
  EXPECT_EQ(bytes_of("toca", "fp8"), bytes_of("toca", "fp32") - 3 * values + 4 * rows);
  // Both differences, but not the residual that they are made from.
  const uint64_t trunk_rows = uint64_t{2} * 2 * 23850, trunk = trunk_rows * 1152;
  EXPECT_EQ(bytes_of("taylorseer_lite", "fp8"),
            bytes_of("taylorseer_lite", "fp32") - 3 * trunk + 4 * trunk_rows);
  // A refresh is made apart.
  const Plan whole = plan_of(published({"fora", {}}));
  const Plan half = plan_of(published({"fora", {{"cache_dtype", "bf16"}}}));
  EXPECT_EQ(whole.peak_bytes - half.peak_bytes, 2 * values - uint64_t{2} * 23850 * 1152 * 4);
  EXPECT_EQ(whole.flops, half.flops);
  EXPECT_NE(whole.digest, half.digest);
  EXPECT_EQ(whole.digest, plan_of(published({"fora", {{"cache_dtype", "fp32"}}})).digest);
}

TEST(Plan, WarnsWhereFewerBitsChangeNothing) {
  for (PolicySpec policy : {PolicySpec{}, PolicySpec{"mask", {{"compute", "0,1,5"}}}}) {
    const std::string digest = plan_of(published(policy)).digest;
    policy.options["cache_dtype"] = "bf16";
    const Plan plan = plan_of(published(policy));
    ASSERT_EQ(plan.warnings.size(), 1u);
    EXPECT_TRUE(plan.warnings[0].starts_with("cache_dtype=bf16 changes nothing: policy"));
    EXPECT_EQ(plan.digest, digest);
  }
  EXPECT_TRUE(plan_of(published({"magcache+toca", {{"cache_dtype", "fp8"}}})).warnings.empty());
  EXPECT_THROW(plan_of(published({"toca", {{"cache_dtype", "fp16"}}})), Error);
}

TEST(Plan, DigestChangesWithAllThatDecidesTheBitsAndNothingElse) {
  const std::string digest = plan_of(published({"toca", {}})).digest;
  EXPECT_EQ(digest.size(), 64u);
  RenderRequest same = published({"toca", {{"interval", "3"}}});
  same.seed = 7;
  same.prompt = "another";
  EXPECT_EQ(plan_of(same).digest, digest);
  RenderRequest other = published({"toca", {}});
  other.guidance = 4;
  EXPECT_NE(plan_of(other).digest, digest);
  EXPECT_NE(plan_of(published({"toca", {{"staleness_weight", "0.3"}}})).digest, digest);
  EXPECT_NE(plan_of(published({"toca", {{"score", "random"}}})).digest, digest);
  EXPECT_NE(plan_of(published({"toca", {{"spread_bonus", "0.3"}}})).digest, digest);
  EXPECT_NE(plan_of(published({"toca", {{"fidelity", "upstream"}}})).digest, digest);
}

TEST(Plan, WarnsOfLengthsThatModelsAreNotTrainedIn) {
  RenderRequest request = published();
  EXPECT_TRUE(plan_of(request).warnings.empty());
  request.frames = 1;
  EXPECT_TRUE(plan_of(request).warnings.empty());
  request.frames = 50;
  EXPECT_EQ(plan_of(request).warnings.size(), 1u);
  request.frames = 16;
  EXPECT_NE(plan_of(request).warnings.at(0).find("fewer than the 17"), std::string::npos);
}

TEST(Plan, WarnsOfAPolicyThatIsNeverRefreshedAgain) {
  RenderRequest request = published({"fora", {{"interval", "1000"}, {"warm", "1"}}});
  ASSERT_EQ(plan_of(request).warnings.size(), 1u);
  EXPECT_NE(plan_of(request).warnings[0].find("policy fora"), std::string::npos);
  request.steps = 1;  // nothing to resume, and nothing to reuse
  EXPECT_TRUE(plan_of(request).warnings.empty());
  request = published({"fora", {{"interval", "1000"}, {"warm", "2"}}});
  EXPECT_TRUE(plan_of(request).warnings.empty());
}

TEST(Plan, WarnsOfAPolicyThatReusesNothing) {
  RenderRequest request = published({"fora", {{"interval", "1"}}});
  EXPECT_NE(plan_of(request).warnings.at(0).find("policy fora reuses nothing in 30 steps"),
            std::string::npos);
  request.policy = {"toca", {}};
  EXPECT_TRUE(plan_of(request).warnings.empty());
  request.steps = 3;
  EXPECT_NE(plan_of(request).warnings.at(0).find("policy toca reuses nothing in 3 steps"),
            std::string::npos);
}

TEST(Plan, WarnsOfAPresetThatWasMeasuredWithOtherSteps) {
  RenderRequest request = published({"preset:preview", {}});
  EXPECT_TRUE(plan_of(request).warnings.empty());
  request.steps = 20;
  EXPECT_TRUE(plan_of(request).warnings.at(0).starts_with("preset preview was measured with 30"));
}

TEST(Plan, GivesPoliciesTheTimesOfTheSampler) {
  const Plan plan = plan_of(published({"pab", {}}));
  const auto attention = [&](size_t step) { return plan.steps[step].modules.at(0); };
  ASSERT_EQ(attention(0).module, Module::kSelfAttention);
  // 450 < t < 930 at steps 9 to 25.
  EXPECT_EQ(attention(7).decision, Decision::kRefresh);
  EXPECT_EQ(attention(9).decision, Decision::kReuse);
  EXPECT_EQ(attention(25).decision, Decision::kReuse);
  EXPECT_EQ(attention(27).decision, Decision::kRefresh);
  EXPECT_EQ(refresh_points(plan),
            (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 24, 26, 27, 28, 29}));
  RenderRequest request = published({"pab", {}});
  request.steps = 2;
  EXPECT_NE(plan_of(request).warnings.at(0).find("policy pab: mlp_skip"), std::string::npos);
}

TEST(Plan, RefusesAnUnknownPolicy) {
  EXPECT_THROW(plan_of(published({"tocca", {}})), Error);
}

}  // namespace
}  // namespace engine
