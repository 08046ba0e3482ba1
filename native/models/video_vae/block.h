// The four networks of the VAE as lists of layers. A list is plain data worked out from the config:
// the same list is walked to count bytes, to load weights and to run, so that the three cannot
// disagree.
//
// Activations live in three buffers: a residual block needs its input, the first convolution's
// output and maybe the shortcut's, and every other block needs fewer. A layer says which buffer it
// reads and which it writes; the first reads the network's input, the last writes its output.
#pragma once

#include <string>
#include <vector>

#include "backend/conv.h"
#include "models/video_vae/config.h"

namespace engine {

inline constexpr int kVaeBuffers = 4;
inline constexpr int kNormLines = 3;  // the fourth is for the normed lines under a convolution
// In place of a buffer: the network's own input or output; or nothing.
inline constexpr int kOuterBuffer = -1;
inline constexpr int kNoBuffer = -2;

enum class VaeLayerKind : uint8_t {
  kConv,  // of the input, or of SiLU(group norm) of it, + residual
  kGroupNorm,
  kChannelsToTime,  // half of the channels, twice the frames
  kAttention,       // single head over the pixels of a frame, + residual, in place of the latter
};

struct VaeLayer {
  VaeLayerKind kind = VaeLayerKind::kConv;
  std::string name;  // of its tensors in the checkpoint, without ".weight"
  int64_t in = 0;    // channels
  int64_t out = 0;
  int input = kOuterBuffer;
  int output = kOuterBuffer;
  int residual = kNoBuffer;
  int scratch = kNoBuffer;  // attention: query, key and value

  std::array<int64_t, 3> kernel{1, 1, 1};  // kConv, as is all up to has_bias
  ConvGeometry geometry;
  bool flat = false;           // the weight has no time axis
  double input_divisor = 1.0;  // the layer is applied to its input divided by this
  bool has_bias = true;
  std::string norm;  // of the input's norm in the checkpoint, without ".weight"; empty: none

  int64_t groups = 1;  // kGroupNorm, and kConv with a norm
  float eps = 0.0f;

  std::string tap;  // under which the output is shown to whoever watches; empty: not shown
};

struct VaeNetwork {
  std::vector<VaeLayer> layers;
  // Of the activations between the layers. The network's own input and output are fp32, so its
  // first layer, a convolution, computes in fp32; the others in this.
  DType compute = DType::kF32;
  // Whether group norms span all frames (temporal) or one (spatial).
  bool temporal = false;

  int64_t in_channels() const { return layers.front().in; }
  int64_t out_channels() const { return layers.back().out; }
  DType compute_of(const VaeLayer& layer) const {
    return layer.input == kOuterBuffer ? DType::kF32 : compute;
  }
};

// Appends layers, keeping track of channels and buffers.
class VaeNetworkBuilder {
 public:
  VaeNetworkBuilder(bool temporal, int64_t in_channels, DType compute) : channels_(in_channels) {
    network_.temporal = temporal;
    network_.compute = compute;
  }

  struct Conv {
    int64_t kernel = 3;  // in every direction that the network has
    int64_t stride = 1;  // spatial: height and width; temporal: time
    bool has_bias = true;
    bool upsample = false;  // the input is doubled in height and width
  };
  void conv(const std::string& name, int64_t out, Conv conv);
  // The convolution to be added next takes SiLU(group norm) of its input.
  void norm_silu(const std::string& name, int64_t groups, float eps);
  // norm1, SiLU, conv1, norm2, SiLU, conv2, plus the input, through `shortcut` where the number of
  // channels changes.
  struct ResBlock {
    int64_t groups = 32;
    float eps = 1e-6f;
    bool conv_bias = true;
    const char* shortcut = "conv_shortcut";
  };
  void res_block(const std::string& name, int64_t out, ResBlock block);
  // group_norm, then softmax(q kᵀ / sqrt(C)) v over the pixels of a frame, plus the input.
  void attention(const std::string& name, int64_t groups, float eps);
  void upsample_space(const std::string& name);
  void upsample_time(const std::string& name);
  // Shows the output of the layer added last.
  void tap(const std::string& name) { network_.layers.back().tap = name; }
  // The layer to be added next takes its input divided by this.
  void divide_input(double divisor) { input_divisor_ = divisor; }

  int64_t channels() const { return channels_; }
  // The last layer writes the network's output.
  VaeNetwork finish();

 private:
  // A buffer other than `first` and `second`.
  static int other_than(int first, int second);
  VaeLayer conv_layer(const std::string& name, int64_t in, int64_t out, Conv conv);

  VaeNetwork network_;
  int64_t channels_;
  int current_ = kOuterBuffer;
  double input_divisor_ = 1.0;
  struct Norm {
    std::string name;  // empty: none
    int64_t groups = 1;
    float eps = 0.0f;
  };
  Norm norm_;
};

}  // namespace engine
