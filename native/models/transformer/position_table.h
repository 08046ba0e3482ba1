// Where the tokens of a picture are: sines and cosines of column and row.
#pragma once

#include "core/tensor.h"

namespace engine {

struct PositionSettings {
  int64_t hidden = 0;
  int64_t height = 0, width = 0;  // of the token grid
  // Side of the token grid that the model was trained with: other grids are stretched onto it.
  int64_t base = 0;
  double scale = 1;  // coordinates are divided by it
};

// [height · width, hidden], fp32, host. The first half of the channels encodes the column, the
// second half the row; each half is [sin | cos] of coordinate · 10000^(-2k / (hidden / 2)).
Tensor position_table(const PositionSettings& settings);

}  // namespace engine
