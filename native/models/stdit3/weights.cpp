#include "models/stdit3/weights.h"

#include <cstring>

#include "engine/error.h"

namespace engine {

namespace {

BlockWeights load_block(const WeightLoader& load, const std::string& name,
                        const STDiT3Config& config, DType compute) {
  const int64_t hidden = config.hidden;
  BlockWeights block;
  block.qkv = load.linear(name + ".attn.qkv", hidden, 3 * hidden, compute);
  block.attn_proj = load.linear(name + ".attn.proj", hidden, hidden, compute);
  if (config.qk_norm) {
    block.q_norm = load.device(name + ".attn.q_norm.weight", {config.head_dim()});
    block.k_norm = load.device(name + ".attn.k_norm.weight", {config.head_dim()});
  }
  block.q_linear = load.linear(name + ".cross_attn.q_linear", hidden, hidden, compute);
  block.kv_linear = load.linear(name + ".cross_attn.kv_linear", hidden, 2 * hidden, compute);
  block.proj = load.linear(name + ".cross_attn.proj", hidden, hidden, compute);
  block.fc1 = load.linear(name + ".mlp.fc1", hidden, config.mlp_hidden, compute);
  block.fc2 = load.linear(name + ".mlp.fc2", config.mlp_hidden, hidden, compute);
  return block;
}

// A model with more layers than config.json says would render, but wrongly.
void check_depth(const Checkpoint& checkpoint, const STDiT3Config& config) {
  const std::string next = "spatial_blocks." + std::to_string(config.depth) + ".scale_shift_table";
  if (checkpoint.find(next).empty()) return;
  throw Error(ErrorCode::kInvalidCheckpoint,
              checkpoint.location().string() + " holds " + next + ", but config.json says depth " +
                  std::to_string(config.depth) + ": they belong to different models");
}

void load_blocks(const WeightLoader& load, DType compute, STDiT3Weights& weights) {
  const STDiT3Config& config = weights.config;
  const Shape table{6, config.hidden};
  weights.block_tables = Tensor({config.blocks(), 6, config.hidden}, DType::kF32);
  for (int i = 0; i < config.blocks(); ++i) {
    const std::string name =
        (i % 2 == 0 ? "spatial_blocks." : "temporal_blocks.") + std::to_string(i / 2);
    weights.blocks.push_back(load_block(load, name, config, compute));
    const Tensor values = load.host(name + ".scale_shift_table", table);
    std::memcpy(weights.block_tables.view().rows(i, 1).data(), values.view().data(),
                values.bytes());
  }
}

}  // namespace

uint64_t stdit3_weights_bytes(const STDiT3Config& config, DType compute) {
  const int64_t hidden = config.hidden;
  const auto kept = [&](int64_t in, int64_t out) { return linear_bytes(in, out, compute); };
  const auto full = [](int64_t in, int64_t out) { return linear_bytes(in, out, DType::kF32); };
  const uint64_t block = kept(hidden, 3 * hidden) + kept(hidden, hidden) +      // attn
                         2 * kept(hidden, hidden) + kept(hidden, 2 * hidden) +  // cross_attn
                         kept(hidden, config.mlp_hidden) + kept(config.mlp_hidden, hidden);
  const int64_t tables =
      (6 * config.blocks() + 2) * hidden + config.model_max_length * config.caption_channels +
      (config.qk_norm ? 2 * config.blocks() * config.head_dim() : 0) + config.head_dim() / 2;
  return static_cast<uint64_t>(config.blocks()) * block +
         full(config.in_channels * config.patch_volume(), hidden) +
         2 * (full(kSinusoidWidth, hidden) + full(hidden, hidden)) + full(hidden, 6 * hidden) +
         full(config.caption_channels, hidden) + full(hidden, hidden) +
         full(hidden, config.out_channels * config.patch_volume()) +
         static_cast<uint64_t>(tables) * sizeof(float);
}

STDiT3Weights load_stdit3(const STDiT3Config& config, const Checkpoint& checkpoint,
                          Backend& backend, DType compute) {
  const int64_t hidden = config.hidden;
  const int64_t out = config.out_channels * config.patch_volume();
  check_depth(checkpoint, config);
  const WeightLoader load(checkpoint, backend);
  STDiT3Weights weights;
  weights.config = config;
  weights.compute = compute;
  weights.x_embedder = load.patch_convolution(
      "x_embedder.proj",
      {hidden, config.in_channels, config.patch[0], config.patch[1], config.patch[2]});
  weights.t_embedder = load.sinusoid_embedder("t_embedder.mlp.0", "t_embedder.mlp.2", hidden);
  weights.fps_embedder = load.sinusoid_embedder("fps_embedder.mlp.0", "fps_embedder.mlp.2", hidden);
  weights.t_block = load.linear("t_block.1", hidden, 6 * hidden, DType::kF32);
  weights.y_fc1 =
      load.linear("y_embedder.y_proj.fc1", config.caption_channels, hidden, DType::kF32);
  weights.y_fc2 = load.linear("y_embedder.y_proj.fc2", hidden, hidden, DType::kF32);
  weights.null_caption =
      load.host("y_embedder.y_embedding", {config.model_max_length, config.caption_channels});
  load_blocks(load, compute, weights);
  weights.final_table = load.host("final_layer.scale_shift_table", {2, hidden});
  weights.final_linear = load.linear("final_layer.linear", hidden, out, DType::kF32);
  weights.rope_frequencies = checkpoint.find("rope.freqs").empty()
                                 ? rotation_frequencies(config.head_dim())
                                 : load.host("rope.freqs", {config.head_dim() / 2});
  return weights;
}

STDiT3Weights load_stdit3(const std::filesystem::path& folder, Backend& backend, DType compute) {
  const STDiT3Config config = load_stdit3_config(folder);
  return load_stdit3(config, Checkpoint::open(folder), backend, compute);
}

}  // namespace engine
