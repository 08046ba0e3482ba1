// What goes before and after the products of a convolution by tiles (conv_tiles.h): pixels to
// points, and sums at points to pixels. One table of functions an instruction set.
//
// Winograd's minimal filtering F(2 x 2, 3 x 3) (for convolutions: A. Lavin and S. Gray, arXiv
// 1509.09308). Along one axis two outputs y of a kernel g of 3 taps over 4 inputs d are
//   m = (g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2) ⊙ (d0 - d2, d1 + d2, d2 - d1, d1 - d3),
//   y = (m0 + m1 + m2, m1 - m2 - m3):
// 4 products instead of 6, and along both axes 16 instead of 36.
#pragma once

#include <cstdint>

namespace engine::cpu {

inline constexpr int kTilePixels = 4 * 4;   // of input
inline constexpr int kTilePoints = 4 * 4;   // of its spectrum
inline constexpr int kTileOutputs = 2 * 2;  // pixels

struct TileInput {
  const void* const* pixels = nullptr;  // [tiles, 4, 4] pointers to `channels` numbers each
  bool bf16 = false;                    // what pixels and values are; else fp32
  int64_t tiles = 0;
  int64_t channels = 0;
  void* values = nullptr;    // tile i at point p begins at p * point_stride + i * channels
  int64_t point_stride = 0;  // elements
};

// output[p, :] = sums joined + bias + residual[p, :], p = places[tile][pixel].
struct TileOutput {
  const float* sums = nullptr;  // tile i at point p begins at p * point_stride + i * tile_stride
  int64_t point_stride = 0;     // elements
  int64_t tile_stride = 0;      // elements
  int64_t tiles = 0;
  const float* bias = nullptr;      // [panel_columns]
  const int64_t* places = nullptr;  // [tiles, 2, 2]; -1: not written
  const void* residual = nullptr;   // [places, output_stride] from this panel's column, or null
  void* output = nullptr;           // likewise, of the same dtype
  bool output_bf16 = false;
  int64_t output_stride = 0;
  int64_t columns = 0;  // how many of the panel's columns exist
};

struct TileKernels {
  void (*split)(const TileInput& input);
  void (*join)(const TileOutput& output);
};

namespace baseline {
extern const TileKernels tile_kernels;
}
namespace avx2 {
extern const TileKernels tile_kernels;
}
namespace avx512 {
extern const TileKernels tile_kernels;
}
namespace avx512_bf16 {  // subnormal bf16 is written as zero
extern const TileKernels tile_kernels;
}

}  // namespace engine::cpu
