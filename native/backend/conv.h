// Convolutions and layouts of the video VAE. Activations are channels-last, frames outermost: [F,
// H, W, C], fp32 or bf16.
#pragma once

#include <array>

#include "core/tensor_view.h"

namespace engine {

// Zero padding per axis (t, h, w), before and after; a causal convolution pads time in front only.
struct ConvGeometry {
  std::array<int64_t, 3> stride{1, 1, 1};
  std::array<int64_t, 3> pad_before{0, 0, 0};
  std::array<int64_t, 3> pad_after{0, 0, 0};
  // The picture that is padded and convolved is the input with each pixel doubled in height and
  // width (nearest neighbour). Only where the kernel is 1 x 3 x 3 and keeps the picture's size. The
  // weights of taps that fall on one pixel may be summed, in fp32 and before they become bf16.
  bool upsample = false;

  // Sizes (t, h, w) of what is padded, for an input of such sizes.
  std::array<int64_t, 3> convolved_size(std::array<int64_t, 3> input) const {
    return {input[0], input[1] * (upsample ? 2 : 1), input[2] * (upsample ? 2 : 1)};
  }
};

// Whether a convolution may be computed in tiles of 2 x 2 output pixels by Winograd's minimal
// filtering (arXiv 1509.09308), with 4/9 of the products: decided by its shape alone, so that it
// never changes bits between devices of a kind. Weights are then kept as 16 numbers for 9, and
// pixels and weights are transformed in at least fp32 and rounded once where they are bf16.
inline bool in_tiles(int64_t in, int64_t out, const std::array<int64_t, 3>& kernel,
                     const ConvGeometry& geometry) {
  constexpr int64_t kChannels = 32;  // of fewer the transforms cost what the products save
  return in >= kChannels && out >= kChannels && kernel[1] == 3 && kernel[2] == 3 &&
         geometry.stride[1] == 1 && geometry.stride[2] == 1 && !geometry.upsample;
}

class ConvWeights {
 public:
  virtual ~ConvWeights() = default;
  int64_t in() const { return in_; }
  int64_t out() const { return out_; }
  const std::array<int64_t, 3>& kernel() const { return kernel_; }
  const ConvGeometry& geometry() const { return geometry_; }
  DType compute() const { return compute_; }
  // Output sizes (F, H, W) for such an input.
  std::array<int64_t, 3> output_size(int64_t frames, int64_t height, int64_t width) const;

 protected:
  ConvWeights(int64_t in, int64_t out, std::array<int64_t, 3> kernel, ConvGeometry geometry,
              DType compute)
      : in_(in), out_(out), kernel_(kernel), geometry_(geometry), compute_(compute) {}

 private:
  int64_t in_;
  int64_t out_;
  std::array<int64_t, 3> kernel_;
  ConvGeometry geometry_;
  DType compute_;
};

// Group norm and SiLU of a convolution's input, as group_norm() would write it, made line by line:
// no normed picture is kept, only the lines under the kernel at a time.
struct ConvNorm {
  ConstTensorView weight, bias;  // [in], fp32
  int64_t groups = 0;            // 0: no norm
  int64_t frames_per_norm = 1;   // divides F
  float eps = 1e-6f;
  TensorView lines;  // scratch, u8: kernel[1] lines of the input at least, the more the better
};

// output = input * weight + bias (+ residual), summed in fp32. The residual may be the output.
struct ConvArgs {
  const ConvWeights* weights = nullptr;
  ConstTensorView input;     // [F, H, W, in] of weights->compute()
  ConstTensorView residual;  // [F', H', W', out] of the output's dtype, or empty
  TensorView output;         // [F', H', W', out], fp32 or bf16
  ConvNorm norm = {};        // not of a doubled input
};

// [F, H, W, 2C] to [2F, H, W, C]: channel 2c + j becomes channel c of frame 2f + j; same dtype.
struct ChannelsToTimeArgs {
  ConstTensorView input;
  TensorView output;
};

// fp32 [C, F, H, W] to [F, H, W, C] and back, then value · scale[c] + shift[c] per channel (null:
// unchanged).
struct ChannelsLastArgs {
  ConstTensorView input;  // [C, F, H, W]
  const float* scale = nullptr;
  const float* shift = nullptr;
  TensorView output;  // [F, H, W, C]
};
struct ChannelsFirstArgs {
  ConstTensorView input;  // [F, H, W, C]
  TensorView output;      // [C, F, H, W]
};

// clamp to [-1, 1], (x + 1) / 2 · 255 + 0.5, truncated.
struct FramesToRgb8Args {
  ConstTensorView input;  // [F, H, W, 3], fp32
  TensorView output;      // [F, H, W, 3], u8
};

}  // namespace engine
