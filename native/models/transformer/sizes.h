// Sizes that every diffusion transformer has, whatever its config calls them.
#pragma once

#include <cstdint>

namespace engine {

// Width of the sinusoids of times and other numbers, fixed in the published code of all models.
inline constexpr int64_t kSinusoidWidth = 256;

// Of one block.
struct BlockSizes {
  int64_t hidden = 0;
  int64_t heads = 0;
  int64_t mlp_hidden = 0;

  int64_t head_dim() const { return hidden / heads; }
};

// Patches along time, height and width of the zero-padded latent. Token order: (t, h, w).
struct TokenGrid {
  int64_t frames = 0;
  int64_t height = 0;
  int64_t width = 0;

  int64_t tokens_per_frame() const { return height * width; }
  int64_t tokens() const { return frames * height * width; }
};

}  // namespace engine
