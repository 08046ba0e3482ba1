// What a model is told to be from its configs alone, in all published forms, and what of a request
// it refuses; plans of PixArt-alpha and DiT worked out from caching-policies.md.
#include "pipeline/model_family.h"

#include <gtest/gtest.h>

#include "core/test_support.h"
#include "engine/error.h"

namespace engine {
namespace {

constexpr const char* kStdit3 = R"({"architectures": ["STDiT3"], "model_type": "STDiT3",
  "hidden_size": 1152, "num_heads": 16, "depth": 28})";
constexpr const char* kPixartOriginal = R"({"architecture": "PixArt", "hidden_size": 1152,
  "num_heads": 16, "depth": 28, "input_size": 32, "pred_sigma": true, "model_max_length": 120})";
constexpr const char* kPixartDiffusers = R"({"_class_name": "Transformer2DModel",
  "norm_type": "ada_norm_single", "num_attention_heads": 16, "attention_head_dim": 72,
  "num_layers": 28, "sample_size": 128, "caption_channels": 4096, "out_channels": 8})";
constexpr const char* kDitOriginal = R"({"hidden_size": 1152, "num_heads": 16, "depth": 28,
  "input_size": 32, "num_classes": 1000, "learn_sigma": true})";
constexpr const char* kDitDiffusers = R"({"_class_name": "DiTTransformer2DModel",
  "norm_type": "ada_norm_zero", "num_attention_heads": 16, "attention_head_dim": 72,
  "num_layers": 28, "sample_size": 64, "num_embeds_ada_norm": 1000, "out_channels": 8})";

ModelConfigs configs_of(const std::string& transformer, const std::string& model_index = "") {
  return {.transformer = transformer, .vae = {}, .text_encoder = {}, .model_index = model_index};
}

RenderRequest usual_request(const ModelTraits& traits) {
  RenderRequest request;
  request.frames = traits.frames;
  request.height = traits.height;
  request.width = traits.width;
  request.fps = traits.fps;
  request.steps = traits.samplers.front().steps;
  request.guidance = traits.guidance;
  return request;
}

Plan plan_of(const std::string& transformer, const PolicySpec& policy,
             const std::string& sampler = "") {
  RenderRequest request = usual_request(describe_model(configs_of(transformer)));
  request.policy = policy;
  request.sampler = sampler;
  return make_plan(configs_of(transformer), request, DType::kF32);
}

TEST(ModelFamily, IsToldFromEveryPublishedForm) {
  const std::pair<const char*, const char*> known[]{{kStdit3, "stdit3"},
                                                    {kPixartOriginal, "pixart"},
                                                    {kPixartDiffusers, "pixart"},
                                                    {kDitOriginal, "dit"},
                                                    {kDitDiffusers, "dit"}};
  for (const auto& [config, family] : known) {
    const ModelTraits traits = describe_model(configs_of(config));
    EXPECT_EQ(traits.family, family);
    EXPECT_EQ(traits.images_only, traits.family != "stdit3");
    EXPECT_EQ(traits.prompt == PromptKind::kClass, traits.family == "dit");
    EXPECT_NO_THROW(plan_of(config, {}));
  }
  EXPECT_EQ(describe_model(configs_of(kPixartDiffusers)).height, 1024);
  EXPECT_EQ(describe_model(configs_of(kDitDiffusers)).width, 512);
}

TEST(ModelFamily, RefusesAnUnknownModelByName) {
  const auto refuses = [](const char* config, const char* text) {
    return fails([&] { describe_model(configs_of(config)); }, ErrorCode::kUnsupported, text);
  };
  EXPECT_TRUE(refuses(R"({"_class_name": "SD3Transformer2DModel"})", "SD3Transformer2DModel"));
  EXPECT_TRUE(refuses(R"({"architectures": ["Latte"], "num_classes": 3})", "Latte"));
  EXPECT_TRUE(refuses(R"({"depth": 3})", "names no model"));
  EXPECT_TRUE(fails([] { describe_model(configs_of("[]")); }, ErrorCode::kInvalidCheckpoint,
                    "no JSON object"));
  const std::string no_null = R"({"num_classes": 3, "class_dropout_prob": 0, "hidden_size": 8,
    "num_heads": 1, "depth": 1})";
  EXPECT_TRUE(refuses(no_null.c_str(), "no null class"));
}

TEST(ModelFamily, ImageModelsRefuseClipsAndOtherSizes) {
  const auto refuses = [](const char* config, const auto& change, const char* text) {
    RenderRequest request = usual_request(describe_model(configs_of(config)));
    change(request);
    return fails([&] { make_plan(configs_of(config), request, DType::kF32); },
                 ErrorCode::kInvalidArgument, text);
  };
  const auto clip = [](RenderRequest& request) { request.frames = 51; };
  EXPECT_TRUE(refuses(kPixartOriginal, clip, "frames 51: this model renders single images"));
  EXPECT_TRUE(refuses(kDitOriginal, clip, "frames 51: this model renders single images"));
  const auto wide = [](RenderRequest& request) { request.width = 512; };
  EXPECT_TRUE(refuses(kDitOriginal, wide, "pictures of 256x256 alone"));
  const auto ddpm = [](RenderRequest& request) { request.sampler = "ddpm"; };
  EXPECT_TRUE(refuses(kPixartOriginal, ddpm, "it has dpm-solver++"));
  EXPECT_TRUE(refuses(kStdit3, ddpm, "it has rflow"));
}

TEST(ModelFamily, WarnsOfASizeThatAPixartIsNotToldOf) {
  RenderRequest request = usual_request(describe_model(configs_of(kPixartOriginal)));
  request.width = 512;
  const Plan plan = make_plan(configs_of(kPixartOriginal), request, DType::kF32);
  ASSERT_EQ(plan.warnings.size(), 1u);
  EXPECT_NE(plan.warnings[0].find("256x256"), std::string::npos);
  EXPECT_EQ(plan.tokens, 16 * 32);
  EXPECT_TRUE(make_plan(configs_of(kPixartDiffusers), request, DType::kF32).warnings.empty());
}

TEST(ModelFamily, KnowsClassesByTheNamesOfTheModelIndex) {
  const ModelConfigs configs = configs_of(kDitOriginal, R"({"id2label": {"207": "retriever"}})");
  EXPECT_NO_THROW(check_prompts(configs, {"207", "Retriever", "0"}));
  EXPECT_TRUE(fails(
      [&] {
        check_prompts(configs, {"0", "retreiver"});
      },
      ErrorCode::kInvalidArgument, "similar are \"retriever\""));
  EXPECT_NO_THROW(check_prompts(configs_of(kPixartOriginal), {"a red circle"}));
}

TEST(ImagePlan, SavesThePublishedShareOfPixartsFlops) {
  const auto ratio = [](const char* fresh) {
    const Plan plan =
        plan_of(kPixartOriginal, {"toca", {{"fidelity", "upstream"}, {"fresh_ratio", fresh}}});
    return plan.flops_none / plan.flops;
  };
  EXPECT_NEAR(ratio("0.3"), 1.929, 0.0005);
  EXPECT_NEAR(ratio("0.4"), 1.763, 0.0005);
  EXPECT_NEAR(ratio("0.2"), 2.207, 0.0005);
  EXPECT_NEAR(ratio("0.1"), 2.614, 0.0005);
  const Plan plan = plan_of(kPixartOriginal, {"toca", {{"fidelity", "upstream"}}});
  EXPECT_EQ(refresh_points(plan), (std::vector<int>{0, 6, 9, 12, 15, 18}));
}

TEST(ImagePlan, SavesThePublishedShareOfDitsFlops) {
  const Plan plan = plan_of(kDitOriginal, {"toca", {{"fidelity", "upstream"}}});
  EXPECT_NEAR(plan.flops_none / plan.flops, 2.32, 0.005 * 2.32);
  EXPECT_NEAR(plan.flops / 1e12, 10.2, 0.005 * 10.2);
  EXPECT_EQ(plan.steps.size(), 50u);
  EXPECT_EQ(plan.steps[0].timestep, 999);
  EXPECT_EQ(plan.steps[49].timestep, 0);
  EXPECT_EQ(plan.steps[0].modules.size(), 28u * 2);
  EXPECT_EQ(plan.steps[0].modules[0].block, BlockKind::kJoint);
}

TEST(ImagePlan, SavesThePublishedShareOfDitsFlopsUnderDuca) {
  const Plan plan = plan_of(kDitOriginal, {"duca", {{"fidelity", "upstream"}}});
  EXPECT_NEAR(plan.flops_none / plan.flops, 2.48, 0.005 * 2.48);
  // Full at indices 49, 44 and 40, counted downwards: aggressive at even distances from these.
  std::vector<int> skipped;
  for (int step = 0; step < 13; ++step) {
    const PlannedStep& planned = plan.steps[static_cast<size_t>(step)];
    if (planned.trunk == TrunkDecision::kReuse) skipped.push_back(49 - planned.step);
  }
  EXPECT_EQ(skipped, (std::vector<int>{47, 42, 38}));
}

TEST(ImagePlan, SavesThePublishedShareOfDitsFlopsUnderForecasts) {
  const auto ratio = [](const PolicySpec& policy) {
    const Plan plan = plan_of(kDitOriginal, policy);
    return plan.flops_none / plan.flops;
  };
  EXPECT_NEAR(ratio({"taylorseer", {}}), 3.57, 0.005 * 3.57);
  EXPECT_NEAR(ratio({"taylorseer", {{"interval", "3"}, {"order", "3"}}}), 2.77, 0.005 * 2.77);
  EXPECT_NEAR(ratio({"clusca", {}}), 3.97, 0.005 * 3.97);
}

TEST(ImagePlan, FollowsTheSampler) {
  const Plan ddim = plan_of(kDitOriginal, {"toca", {}});
  const Plan ddpm = plan_of(kDitOriginal, {"toca", {}}, "ddpm");
  EXPECT_EQ(ddim.sampler, "ddim");
  EXPECT_EQ(ddpm.sampler, "ddpm");
  EXPECT_NE(ddpm.digest, ddim.digest);
  EXPECT_NE(ddpm.flops, ddim.flops);
  EXPECT_EQ(plan_of(kDitOriginal, {"toca", {}}, "ddim").digest, ddim.digest);
}

TEST(ImagePlan, CountsTheBytesOfTheCache) {
  const Plan plan = plan_of(kPixartOriginal, {"toca", {}});
  // 84 features, 56 counters and 28 entropies of both halves; 32 rows to measure drift on.
  EXPECT_EQ(plan.cache_bytes, 4u * 2 * 256 * (84 * 1152 + 56 + 28) + 4 * 32 * (1152 + 1));
  EXPECT_EQ(plan_of(kPixartOriginal, {}).cache_bytes, 0u);
  EXPECT_GT(plan.peak_bytes, plan.cache_bytes);
  EXPECT_NE(plan.digest, plan_of(kPixartOriginal, {"toca", {{"spread_bonus", "0.1"}}}).digest);
}

}  // namespace
}  // namespace engine
