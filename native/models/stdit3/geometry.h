// How a latent becomes tokens, and where the tokens are: grid, position table, rotation tables.
#pragma once

#include "core/tensor.h"
#include "models/stdit3/config.h"

namespace engine {

TokenGrid token_grid(const STDiT3Config& config, int64_t latent_frames, int64_t latent_height,
                     int64_t latent_width);

// [tokens per frame, hidden], fp32, host. The first half of the channels encodes the column, the
// second half the row; each half is [sin | cos] of coordinate · 10000^(-2k / (hidden / 2)).
// Coordinates are scaled to a square of round(sqrt(S)) tokens a side and by the picture's size in
// pixels over input_sq_size.
Tensor position_table(const STDiT3Config& config, const TokenGrid& grid, double pixel_height,
                      double pixel_width);

// [frames, head_dim / 2] each, fp32, host: cosine and sine of position · frequency.
struct RotationTables {
  Tensor cos, sin;
};
RotationTables rotation_tables(ConstTensorView frequencies, int64_t frames);
// 10000^(-2i / head_dim), for a checkpoint without rope.freqs.
Tensor rotation_frequencies(int64_t head_dim);

}  // namespace engine
