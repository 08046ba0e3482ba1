#include "models/dit/weights.h"

#include <array>
#include <cstring>

#include "engine/error.h"
#include "models/transformer/position_table.h"

namespace engine {

namespace {

// Published names, in both layouts.
struct DitNames {
  std::string linear0, linear2, labels, final_modulation, final_linear;
  std::string block, modulation;  // before and after the number of a block
};

DitNames names_of(WeightLayout layout) {
  if (layout == WeightLayout::kOriginal) {
    return {.linear0 = "t_embedder.mlp.0",
            .linear2 = "t_embedder.mlp.2",
            .labels = "y_embedder.embedding_table.weight",
            .final_modulation = "final_layer.adaLN_modulation.1",
            .final_linear = "final_layer.linear",
            .block = "blocks.",
            .modulation = ".adaLN_modulation.1"};
  }
  const std::string embedder = "transformer_blocks.0.norm1.emb.";
  return {.linear0 = embedder + "timestep_embedder.linear_1",
          .linear2 = embedder + "timestep_embedder.linear_2",
          .labels = embedder + "class_embedder.embedding_table.weight",
          .final_modulation = "proj_out_1",
          .final_linear = "proj_out_2",
          .block = "transformer_blocks.",
          .modulation = ".norm1.linear"};
}

// Diffusers gives every block an embedder of its own; in a DiT they are all the same one.
void check_embedders(const Checkpoint& checkpoint, int depth) {
  constexpr std::array kParts{
      "timestep_embedder.linear_1.weight", "timestep_embedder.linear_1.bias",
      "timestep_embedder.linear_2.weight", "timestep_embedder.linear_2.bias",
      "class_embedder.embedding_table.weight"};
  for (const char* const part : kParts) {
    const auto of = [&](int block) {
      return "transformer_blocks." + std::to_string(block) + ".norm1.emb." + part;
    };
    const ConstTensorView first = checkpoint.get(of(0));
    for (int block = 1; block < depth; ++block) {
      const ConstTensorView other = checkpoint.get(of(block), first.shape());
      if (other.dtype() == first.dtype() &&
          std::memcmp(other.data(), first.data(), first.bytes()) == 0) {
        continue;
      }
      throw Error(ErrorCode::kUnsupported,
                  checkpoint.location().string() + ": " + of(block) +
                      " differs from that of block 0; a DiT embeds time and label once");
    }
  }
}

// The table that the checkpoint holds; diffusers' holds none.
Tensor load_position(const WeightLoader& load, const JointConfig& config) {
  const int64_t side = config.grid_side(), hidden = config.sizes.hidden;
  if (load.source().find("pos_embed").empty()) {
    return position_table({.hidden = hidden, .height = side, .width = side, .base = side});
  }
  return load.host("pos_embed", {1, side * side, hidden});
}

}  // namespace

DitWeights load_dit(const DitConfig& config, const Checkpoint& checkpoint, Backend& backend,
                    DType compute) {
  const WeightLayout layout = weight_layout(checkpoint);
  const DitNames names = names_of(layout);
  const WeightLoader load(checkpoint, backend);
  const int64_t hidden = config.joint.sizes.hidden;
  DitWeights weights;
  weights.config = config;
  weights.joint = load_joint_weights(load, layout, config.joint, names.final_linear, compute);
  if (layout == WeightLayout::kDiffusers) check_embedders(checkpoint, config.joint.depth);
  weights.t_embedder = load.sinusoid_embedder(names.linear0, names.linear2, hidden);
  weights.label_table = load.device(names.labels, {config.labels(), hidden});
  for (int i = 0; i < config.joint.depth; ++i) {
    weights.block_modulation.push_back(load.linear(
        names.block + std::to_string(i) + names.modulation, hidden, 6 * hidden, compute));
  }
  weights.final_modulation = load.linear(names.final_modulation, hidden, 2 * hidden, DType::kF32);
  weights.position = load_position(load, config.joint);
  return weights;
}

DitWeights load_dit(const std::filesystem::path& folder, Backend& backend, DType compute) {
  const DitConfig config = load_dit_config(folder);
  return load_dit(config, Checkpoint::open(folder), backend, compute);
}

uint64_t dit_weights_bytes(const DitConfig& config, DType compute) {
  const int64_t hidden = config.joint.sizes.hidden, side = config.joint.grid_side();
  const int64_t tables = (config.labels() + side * side) * hidden;
  return joint_weights_bytes(config.joint, compute) +
         linear_bytes(kSinusoidWidth, hidden, DType::kF32) +
         linear_bytes(hidden, hidden, DType::kF32) +
         static_cast<uint64_t>(config.joint.depth) * linear_bytes(hidden, 6 * hidden, compute) +
         linear_bytes(hidden, 2 * hidden, DType::kF32) +
         static_cast<uint64_t>(tables) * sizeof(float);
}

}  // namespace engine
