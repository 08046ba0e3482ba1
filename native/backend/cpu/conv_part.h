// What convolutions on the CPU are cut into: products of panels with rows that lie in a picture.
#pragma once

#include <array>

#include "backend/conv.h"
#include "backend/cpu/linear_panels.h"

namespace engine::cpu {

using Axes = std::array<int64_t, 3>;  // t, h, w

// One product: of all output pixels, or of those on every other line and column.
struct ConvPart {
  Panels panels;
  Axes kernel;
  Axes stride;            // input pixels from one row of the product to the next
  Axes before;            // input pixels that tap 0 of the first row lies in front of the input
  Axes spacing{1, 1, 1};  // output pixels from one row to the next
  Axes first{0, 0, 0};    // output pixel of the first row
  bool tiled = false;     // conv_tiles.h; else pixel by pixel
};

// Lines [first, first + count) of every frame of a picture [F, height, W, C].
struct Lines {
  ConstTensorView values;  // [F, count, W, C]
  int64_t first;
  int64_t height;
};

// Lines [first, end) of what a part makes of its input.
struct Band {
  int64_t first;
  int64_t end;
};

}  // namespace engine::cpu
