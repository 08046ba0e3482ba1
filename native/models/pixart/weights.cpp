#include "models/pixart/weights.h"

#include <cstring>

#include "engine/error.h"

namespace engine {

namespace {

// Published names, in both layouts. Embedders of sinusoids: the first and the second layer.
struct PixartNames {
  std::string time0, time2, size0, size2, ratio0, ratio2;
  std::string t_block, fc1, fc2, final_table, final_linear, blocks;
};

PixartNames names_of(WeightLayout layout) {
  if (layout == WeightLayout::kOriginal) {
    return {.time0 = "t_embedder.mlp.0",
            .time2 = "t_embedder.mlp.2",
            .size0 = "csize_embedder.mlp.0",
            .size2 = "csize_embedder.mlp.2",
            .ratio0 = "ar_embedder.mlp.0",
            .ratio2 = "ar_embedder.mlp.2",
            .t_block = "t_block.1",
            .fc1 = "y_embedder.y_proj.fc1",
            .fc2 = "y_embedder.y_proj.fc2",
            .final_table = "final_layer.scale_shift_table",
            .final_linear = "final_layer.linear",
            .blocks = "blocks."};
  }
  const std::string embedder = "adaln_single.emb.";
  return {.time0 = embedder + "timestep_embedder.linear_1",
          .time2 = embedder + "timestep_embedder.linear_2",
          .size0 = embedder + "resolution_embedder.linear_1",
          .size2 = embedder + "resolution_embedder.linear_2",
          .ratio0 = embedder + "aspect_ratio_embedder.linear_1",
          .ratio2 = embedder + "aspect_ratio_embedder.linear_2",
          .t_block = "adaln_single.linear",
          .fc1 = "caption_projection.linear_1",
          .fc2 = "caption_projection.linear_2",
          .final_table = "scale_shift_table",
          .final_linear = "proj_out",
          .blocks = "transformer_blocks."};
}

// A model that is told the picture's size would render without, but wrongly.
void check_micro_conditions(const Checkpoint& checkpoint, const PixartNames& names,
                            const PixartConfig& config) {
  const std::string name = names.size0 + ".weight";
  if (config.micro_conditions || checkpoint.find(name).empty()) return;
  throw Error(ErrorCode::kInvalidCheckpoint,
              checkpoint.location().string() + " holds " + name +
                  ", but config.json asks for no conditions on size and aspect ratio "
                  "(micro_condition, in diffusers' form use_additional_conditions)");
}

void load_tables(const WeightLoader& load, const PixartNames& names, PixartWeights& weights) {
  const PixartConfig& config = weights.config;
  const JointConfig& joint = config.joint;
  const int64_t hidden = joint.sizes.hidden, side = joint.grid_side();
  weights.block_tables = Tensor({joint.depth, 6, hidden}, DType::kF32);
  for (int i = 0; i < joint.depth; ++i) {
    const Tensor table =
        load.host(names.blocks + std::to_string(i) + ".scale_shift_table", {6, hidden});
    std::memcpy(weights.block_tables.view().rows(i, 1).data(), table.f32(), table.bytes());
  }
  weights.final_table = load.host(names.final_table, {2, hidden});
  const auto given = [&](const char* name) { return !load.source().find(name).empty(); };
  if (given("y_embedder.y_embedding")) {
    weights.null_caption =
        load.host("y_embedder.y_embedding", {config.model_max_length, config.caption_channels});
  }
  if (given("pos_embed")) {
    const Tensor stored = load.host("pos_embed", {1, side * side, hidden});
    weights.position = Tensor({side * side, hidden}, DType::kF32);
    std::memcpy(weights.position.f32(), stored.f32(), stored.bytes());
  }
}

}  // namespace

CaptionProjection PixartWeights::captions() const {
  return {.fc1 = y_fc1.get(),
          .fc2 = y_fc2.get(),
          .blocks = joint.blocks,
          .compute = joint.compute,
          .tokens_max = config.model_max_length};
}

PixartWeights load_pixart(const PixartConfig& config, const Checkpoint& checkpoint,
                          Backend& backend, DType compute) {
  const WeightLayout layout = weight_layout(checkpoint);
  const PixartNames names = names_of(layout);
  check_micro_conditions(checkpoint, names, config);
  const WeightLoader load(checkpoint, backend);
  const int64_t hidden = config.joint.sizes.hidden;
  PixartWeights weights;
  weights.config = config;
  weights.joint = load_joint_weights(load, layout, config.joint, names.final_linear, compute);
  weights.t_embedder = load.sinusoid_embedder(names.time0, names.time2, hidden);
  if (config.micro_conditions) {
    weights.size_embedder = load.sinusoid_embedder(names.size0, names.size2, hidden / 3);
    weights.ratio_embedder = load.sinusoid_embedder(names.ratio0, names.ratio2, hidden / 3);
  }
  weights.t_block = load.linear(names.t_block, hidden, 6 * hidden, DType::kF32);
  weights.y_fc1 = load.linear(names.fc1, config.caption_channels, hidden, DType::kF32);
  weights.y_fc2 = load.linear(names.fc2, hidden, hidden, DType::kF32);
  load_tables(load, names, weights);
  return weights;
}

PixartWeights load_pixart(const std::filesystem::path& folder, Backend& backend, DType compute) {
  const PixartConfig config = load_pixart_config(folder);
  return load_pixart(config, Checkpoint::open(folder), backend, compute);
}

uint64_t pixart_weights_bytes(const PixartConfig& config, DType compute) {
  const int64_t hidden = config.joint.sizes.hidden, side = config.joint.grid_side();
  const auto full = [](int64_t in, int64_t out) { return linear_bytes(in, out, DType::kF32); };
  const int64_t tables = (6 * config.joint.depth + 2 + side * side) * hidden +
                         config.model_max_length * config.caption_channels;
  const uint64_t micro = config.micro_conditions
                             ? 2 * (full(kSinusoidWidth, hidden / 3) + full(hidden / 3, hidden / 3))
                             : 0;
  return joint_weights_bytes(config.joint, compute) + full(kSinusoidWidth, hidden) +
         full(hidden, hidden) + full(hidden, 6 * hidden) + full(config.caption_channels, hidden) +
         full(hidden, hidden) + micro + static_cast<uint64_t>(tables) * sizeof(float);
}

}  // namespace engine
