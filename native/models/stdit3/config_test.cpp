#include "models/stdit3/config.h"

#include <gtest/gtest.h>

#include "cache/cache_policy.h"
#include "engine/error.h"
#include "models/stdit3/flops.h"
#include "models/stdit3/geometry.h"

namespace engine {
namespace {

Json published() {
  return Json::parse(R"({"hidden_size": 1152, "num_heads": 16, "depth": 28, "mlp_ratio": 4.0,
    "caption_channels": 4096, "model_max_length": 300, "in_channels": 4, "pred_sigma": true,
    "patch_size": [1, 2, 2], "input_sq_size": 512, "qk_norm": true, "skip_y_embedder": false})");
}

std::string error_of(const Json& json, ErrorCode code = ErrorCode::kInvalidCheckpoint) {
  try {
    parse_stdit3_config(json, "config.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code);
    return error.what();
  }
  return "";
}

TEST(STDiT3Config, ReadsThePublishedOne) {
  const STDiT3Config config = parse_stdit3_config(published(), "config.json");
  EXPECT_EQ(config.head_dim(), 72);
  EXPECT_EQ(config.mlp_hidden, 4608);
  EXPECT_EQ(config.out_channels, 8);
  EXPECT_EQ(config.blocks(), 56);
}

TEST(STDiT3Config, NamesTheFieldThatIsWrong) {
  Json json = published();
  json["num_heads"] = 7;
  EXPECT_NE(error_of(json).find("num_heads 7"), std::string::npos);
  json = published();
  json["patch_size"] = {1, 2};
  EXPECT_NE(error_of(json).find("patch_size"), std::string::npos);
  json = published();
  json.erase("depth");
  EXPECT_NE(error_of(json).find("depth"), std::string::npos);
  json = published();
  json["mlp_ratio"] = -1.0;
  EXPECT_NE(error_of(json).find("mlp_ratio"), std::string::npos);
  json = published();
  json["skip_y_embedder"] = true;
  EXPECT_NE(error_of(json, ErrorCode::kUnsupported).find("skip_y_embedder"), std::string::npos);
}

TEST(TokenGrid, PadsToWholePatches) {
  const STDiT3Config config = parse_stdit3_config(published(), "config.json");
  EXPECT_EQ(token_grid(config, 15, 30, 53).tokens_per_frame(), 405);
  EXPECT_EQ(token_grid(config, 15, 45, 80).tokens_per_frame(), 920);
  EXPECT_EQ(token_grid(config, 15, 60, 106).tokens(), 23850);
}

// Nominal TFLOP of a render of 480p, 51 frames, 30 steps.
double render_tflops(const PolicySpec& spec, int64_t text_tokens) {
  const STDiT3Config config = parse_stdit3_config(published(), "config.json");
  const TokenGrid grid = token_grid(config, 15, 60, 106);
  const auto policy = make_policy(spec, {.steps = 30, .depth = 28, .tokens = grid.tokens()});
  double flops = 0;
  for (int step = 0; step < 30; ++step) {
    for (int layer = 0; layer < config.depth; ++layer) {
      for (const BlockKind block : {BlockKind::kSpatial, BlockKind::kTemporal}) {
        for (const Module m : {Module::kSelfAttention, Module::kCrossAttention, Module::kMlp}) {
          const ModuleDecision decision =
              policy->decide({.step = step, .layer = layer, .block = block, .module = m});
          flops += nominal_flops(
              config, grid,
              {.block = block, .module = m, .tokens = decision.tokens, .text_tokens = text_tokens});
        }
      }
    }
  }
  return flops / 1e12;
}

TEST(NominalFlops, AreThePublishedOnes) {
  EXPECT_NEAR(render_tflops({}, 0), 3274.1, 0.05);
  const double none = render_tflops({}, 30), toca = render_tflops({"toca", {}}, 30);
  EXPECT_NEAR(none, 3286, 0.5);
  EXPECT_NEAR(toca, 1394, 0.5);
  EXPECT_NEAR(none / toca, 2.357, 0.0005);
  EXPECT_NEAR(render_tflops({"fora", {}}, 30), 1752, 1);
}

}  // namespace
}  // namespace engine
