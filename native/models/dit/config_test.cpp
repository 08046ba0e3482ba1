#include "models/dit/config.h"

#include <gtest/gtest.h>

#include "cache/cache_policy.h"
#include "engine/error.h"
#include "models/transformer/flops.h"

namespace engine {
namespace {

Json original() {
  return Json::parse(R"({"input_size": 32, "patch_size": 2, "in_channels": 4, "hidden_size": 1152,
    "depth": 28, "num_heads": 16, "mlp_ratio": 4.0, "class_dropout_prob": 0.1,
    "num_classes": 1000, "learn_sigma": true})");
}

Json diffusers() {
  return Json::parse(R"({"_class_name": "Transformer2DModel", "activation_fn": "gelu-approximate",
    "attention_bias": true, "attention_head_dim": 72, "cross_attention_dim": null,
    "in_channels": 4, "norm_type": "ada_norm_zero", "num_attention_heads": 16,
    "num_embeds_ada_norm": 1000, "num_layers": 28, "out_channels": 8, "patch_size": 2,
    "sample_size": 32})");
}

std::string error_of(const Json& json, ErrorCode code = ErrorCode::kInvalidCheckpoint) {
  try {
    parse_dit_config(json, "config.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code);
    return error.what();
  }
  return "";
}

TEST(DitConfig, ReadsBothPublishedForms) {
  for (const Json& json : {original(), diffusers()}) {
    const DitConfig config = parse_dit_config(json, "config.json");
    EXPECT_EQ(config.joint.sizes.hidden, 1152);
    EXPECT_EQ(config.joint.sizes.head_dim(), 72);
    EXPECT_EQ(config.joint.sizes.mlp_hidden, 4608);
    EXPECT_EQ(config.joint.depth, 28);
    EXPECT_EQ(config.joint.out_channels, 8);
    EXPECT_EQ(config.joint.grid_side(), 16);
    EXPECT_FALSE(config.joint.cross_attention);
    EXPECT_EQ(config.labels(), 1001);
  }
}

TEST(DitConfig, HasNoNullClassWithoutDropout) {
  Json json = original();
  json["class_dropout_prob"] = 0.0;
  EXPECT_EQ(parse_dit_config(json, "config.json").labels(), 1000);
}

TEST(DitConfig, NamesTheFieldThatIsWrong) {
  Json json = original();
  json["num_heads"] = 7;
  EXPECT_NE(error_of(json).find("num_heads 7"), std::string::npos);
  json = original();
  json.erase("depth");
  EXPECT_NE(error_of(json).find("depth"), std::string::npos);
  json = original();
  json["input_size"] = 33;
  EXPECT_NE(error_of(json).find("33"), std::string::npos);
  json = diffusers();
  json["out_channels"] = 6;
  EXPECT_NE(error_of(json).find("out_channels 6"), std::string::npos);
  json = diffusers();
  json["norm_type"] = "ada_norm_single";
  EXPECT_NE(error_of(json, ErrorCode::kUnsupported).find("ada_norm_zero"), std::string::npos);
  json = diffusers();
  json["activation_fn"] = "geglu";
  EXPECT_NE(error_of(json, ErrorCode::kUnsupported).find("geglu"), std::string::npos);
  EXPECT_NE(error_of(Json::array()).find("no JSON object"), std::string::npos);
}

// Nominal TFLOP of one picture of 256 x 256 with guidance.
double render_tflops(const PolicySpec& spec, PublishedSettings published, int steps) {
  const DitConfig config = parse_dit_config(original(), "config.json");
  const TokenGrid grid{1, config.joint.grid_side(), config.joint.grid_side()};
  const auto policy = make_policy(spec, {.steps = steps,
                                         .depth = config.joint.depth,
                                         .tokens = grid.tokens(),
                                         .temporal_blocks = false,
                                         .published = published});
  double flops = 0;
  for (int step = 0; step < steps; ++step) {
    for (int layer = 0; layer < config.joint.depth; ++layer) {
      for (const Module module : {Module::kSelfAttention, Module::kMlp}) {
        const ModuleDecision decision = policy->decide(
            {.step = step, .layer = layer, .block = BlockKind::kJoint, .module = module});
        flops += nominal_flops(
            config.joint.sizes, grid,
            {.block = BlockKind::kJoint, .module = module, .tokens = decision.tokens});
      }
    }
  }
  return flops / 1e12;
}

TEST(NominalFlops, OfDitAreThePublishedOnes) {
  const auto published = PublishedSettings::kDitDdim;
  const double none = render_tflops({}, published, 50);
  const double upstream = render_tflops({"toca", {{"fidelity", "upstream"}}}, published, 50);
  EXPECT_NEAR(none / upstream, 2.32, 0.005 * 2.32);
  EXPECT_NEAR(upstream, 10.2, 0.005 * 10.2);
  // Corrected, block 0 does not leave the others behind: two full steps more.
  const double corrected = render_tflops({"toca", {}}, published, 50);
  EXPECT_NEAR(none / corrected, 2.13, 0.005 * 2.13);
}

}  // namespace
}  // namespace engine
