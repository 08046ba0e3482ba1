#include "models/stdit3/workspace.h"

#include <algorithm>

namespace engine {

namespace {

template <typename Take>
TimeBuffers lay_out_time(const STDiT3Config& config, const WorkspaceShape& shape, Take take) {
  const int64_t rows = shape.rows, hidden = config.hidden;
  TimeBuffers time;
  time.values = take({rows}, DType::kF32);
  time.sinusoid = take({rows, kSinusoidWidth}, DType::kF32);
  time.hidden = take({rows, hidden}, DType::kF32);
  time.embedding = take({rows, hidden}, DType::kF32);
  time.activated = take({rows, hidden}, DType::kF32);
  time.projected = take({rows, 6 * hidden}, DType::kF32);
  time.blocks = take({config.blocks(), rows, 6 * hidden}, DType::kF32);
  time.final = take({2, rows, hidden}, DType::kF32);
  return time;
}

// One list of buffers for both uses: to add up their bytes, and to take them.
template <typename Take>
Workspace lay_out(const STDiT3Config& config, const WorkspaceShape& shape, Take take) {
  const TokenGrid grid =
      token_grid(config, shape.latent_frames, shape.latent_height, shape.latent_width);
  const int64_t rows = shape.rows, tokens = grid.tokens(), hidden = config.hidden;
  const int64_t out_width = config.out_channels * config.patch_volume();
  const int64_t patch_width = config.in_channels * config.patch_volume();
  const int64_t wide = std::max(3 * hidden, config.mlp_hidden);
  Workspace space;
  const auto shared = [&](int64_t width, TensorView& first, int64_t second_width,
                          TensorView& second) {
    const TensorView both = take({rows, tokens, std::max(width, second_width)}, DType::kF32);
    first = {both.data(), DType::kF32, {rows, tokens, width}};
    second = {both.data(), DType::kF32, {rows, tokens, second_width}};
  };
  shared(hidden, space.x, out_width, space.final_tokens);
  shared(hidden, space.scratch, patch_width, space.patches);
  space.h = take({rows, tokens, hidden}, shape.compute);
  space.wide = take({rows, tokens, wide}, shape.compute);
  if (shape.own_feature) space.feature = take({rows, tokens, hidden}, DType::kF32);
  if (shape.needs_modulated) space.modulated = take({rows, tokens, hidden}, DType::kF32);
  space.scores = take({rows, tokens}, DType::kF32);
  space.indices = take({rows, tokens}, DType::kI32);
  space.output = take(
      {rows, config.out_channels, shape.latent_frames, shape.latent_height, shape.latent_width},
      DType::kF32);
  space.noisy = lay_out_time(config, shape, take);
  space.clean = lay_out_time(config, shape, take);
  space.fps = take({rows, hidden}, DType::kF32);
  space.block_tables = take({config.blocks(), rows, 6 * hidden}, DType::kF32);
  space.final_tables = take({2, rows, hidden}, DType::kF32);
  space.position = take({grid.tokens_per_frame(), hidden}, DType::kF32);
  space.rope_cos = take({grid.frames, config.head_dim() / 2}, DType::kF32);
  space.rope_sin = take({grid.frames, config.head_dim() / 2}, DType::kF32);
  space.frame_mask = take({rows, grid.frames}, DType::kU8);
  space.clean_indices = take({rows, tokens}, DType::kI32);
  return space;
}

}  // namespace

uint64_t workspace_bytes(const STDiT3Config& config, const WorkspaceShape& shape) {
  uint64_t total = 0;
  lay_out(config, shape, [&total](const Shape& each, DType dtype) {
    total += Arena::bytes_of(each, dtype);
    return TensorView();
  });
  return total;
}

Workspace lay_out_workspace(const STDiT3Config& config, const WorkspaceShape& shape, Arena& arena) {
  return lay_out(config, shape,
                 [&arena](const Shape& each, DType dtype) { return arena.take(each, dtype); });
}

}  // namespace engine
