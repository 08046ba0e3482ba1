#include "models/transformer/joint_weights.h"

#include "core/counted.h"
#include "engine/error.h"

namespace engine {

namespace {

const char* blocks_name(WeightLayout layout) {
  return layout == WeightLayout::kDiffusers ? "transformer_blocks." : "blocks.";
}

BlockWeights load_original(const WeightLoader& load, const std::string& name,
                           const JointConfig& config, DType compute) {
  const auto& [hidden, heads, mlp_hidden] = config.sizes;
  BlockWeights block;
  block.qkv = load.linear(name + ".attn.qkv", hidden, 3 * hidden, compute);
  block.attn_proj = load.linear(name + ".attn.proj", hidden, hidden, compute);
  if (config.cross_attention) {
    block.q_linear = load.linear(name + ".cross_attn.q_linear", hidden, hidden, compute);
    block.kv_linear = load.linear(name + ".cross_attn.kv_linear", hidden, 2 * hidden, compute);
    block.proj = load.linear(name + ".cross_attn.proj", hidden, hidden, compute);
  }
  block.fc1 = load.linear(name + ".mlp.fc1", hidden, mlp_hidden, compute);
  block.fc2 = load.linear(name + ".mlp.fc2", mlp_hidden, hidden, compute);
  return block;
}

BlockWeights load_diffusers(const WeightLoader& load, const std::string& name,
                            const JointConfig& config, DType compute) {
  const auto& [hidden, heads, mlp_hidden] = config.sizes;
  const std::string self = name + ".attn1.", cross = name + ".attn2.";
  BlockWeights block;
  block.qkv = load.stacked({self + "to_q", self + "to_k", self + "to_v"}, hidden, hidden, compute);
  block.attn_proj = load.linear(self + "to_out.0", hidden, hidden, compute);
  if (config.cross_attention) {
    block.q_linear = load.linear(cross + "to_q", hidden, hidden, compute);
    block.kv_linear = load.stacked({cross + "to_k", cross + "to_v"}, hidden, hidden, compute);
    block.proj = load.linear(cross + "to_out.0", hidden, hidden, compute);
  }
  block.fc1 = load.linear(name + ".ff.net.0.proj", hidden, mlp_hidden, compute);
  block.fc2 = load.linear(name + ".ff.net.2", mlp_hidden, hidden, compute);
  return block;
}

// A model with more layers than the config says would render, but wrongly.
void check_depth(const Checkpoint& checkpoint, WeightLayout layout, const JointConfig& config) {
  const std::string next =
      blocks_name(layout) + std::to_string(config.depth) +
      (layout == WeightLayout::kDiffusers ? ".attn1.to_out.0.weight" : ".attn.proj.weight");
  if (checkpoint.find(next).empty()) return;
  throw Error(ErrorCode::kInvalidCheckpoint,
              checkpoint.location().string() + " holds " + next + ", but config.json says " +
                  counted(config.depth, "layer") + ": they belong to different models");
}

}  // namespace

WeightLayout weight_layout(const Checkpoint& checkpoint) {
  if (!checkpoint.find("x_embedder.proj.weight").empty()) return WeightLayout::kOriginal;
  if (!checkpoint.find("pos_embed.proj.weight").empty()) return WeightLayout::kDiffusers;
  throw Error(ErrorCode::kInvalidCheckpoint,
              checkpoint.location().string() +
                  " holds neither x_embedder.proj.weight (original layout) nor "
                  "pos_embed.proj.weight (diffusers layout)");
}

JointWeights load_joint_weights(const WeightLoader& load, WeightLayout layout,
                                const JointConfig& config, const std::string& final_linear,
                                DType compute) {
  check_depth(load.source(), layout, config);
  const bool diffusers = layout == WeightLayout::kDiffusers;
  const int64_t hidden = config.sizes.hidden;
  JointWeights weights;
  weights.config = config;
  weights.compute = compute;
  weights.x_embedder =
      load.patch_convolution(diffusers ? "pos_embed.proj" : "x_embedder.proj",
                             {hidden, config.in_channels, config.patch, config.patch});
  for (int i = 0; i < config.depth; ++i) {
    const std::string name = blocks_name(layout) + std::to_string(i);
    weights.blocks.push_back(diffusers ? load_diffusers(load, name, config, compute)
                                       : load_original(load, name, config, compute));
  }
  weights.final_linear =
      load.linear(final_linear, hidden, config.out_channels * config.patch_volume(), DType::kF32);
  return weights;
}

uint64_t joint_weights_bytes(const JointConfig& config, DType compute) {
  const auto& [hidden, heads, mlp_hidden] = config.sizes;
  uint64_t block =
      linear_bytes(hidden, 3 * hidden, compute) + linear_bytes(hidden, hidden, compute) +
      linear_bytes(hidden, mlp_hidden, compute) + linear_bytes(mlp_hidden, hidden, compute);
  if (config.cross_attention) {
    block += 2 * linear_bytes(hidden, hidden, compute) + linear_bytes(hidden, 2 * hidden, compute);
  }
  return static_cast<uint64_t>(config.depth) * block +
         linear_bytes(config.in_channels * config.patch_volume(), hidden, DType::kF32) +
         linear_bytes(hidden, config.out_channels * config.patch_volume(), DType::kF32);
}

}  // namespace engine
