// Memory of the VAE: worked out from the layer lists alone, so that it can be said before anything
// is loaded; and the buffers themselves.
#pragma once

#include "backend/backend.h"
#include "models/video_vae/network.h"

namespace engine {

struct FrameExtent {
  int64_t frames = 0;
  int64_t height = 0;
  int64_t width = 0;
};

// What a layer makes of such an input, and a network.
FrameExtent layer_output(const VaeLayer& layer, FrameExtent input);
FrameExtent network_output(const VaeNetwork& network, FrameExtent input);

// Bytes of a network's packed weights: products in its dtype, biases and norms in fp32.
uint64_t network_weight_bytes(const VaeNetwork& network);

using VaeBufferBytes = std::array<uint64_t, kVaeBuffers>;
VaeBufferBytes vae_buffer_bytes(const VaeNetwork& network, FrameExtent input);

// Frames that go through the 2D network together: micro_batch_size, or as few as keep its buffers
// within a bound (one at least). No result depends on it.
int64_t spatial_batch_frames(const VaeNetwork& network, int64_t micro_batch_size,
                             FrameExtent frame);

// The buffers. They grow to the largest network that runs in them and stay until released.
class VaeWorkspace {
 public:
  explicit VaeWorkspace(Backend& backend) : backend_(&backend) {}

  void reserve(const VaeNetwork& network, FrameExtent input);
  // The start of a buffer as such a tensor.
  TensorView view(int buffer, Shape shape, DType dtype) const;
  // All of a buffer as bytes.
  TensorView bytes(int buffer) const { return buffers_[static_cast<size_t>(buffer)].view(); }
  void release() { buffers_ = {}; }

 private:
  Backend* backend_;
  std::array<Tensor, kVaeBuffers> buffers_;
};

// Bytes of the packed weights; the decoder's in `compute`.
uint64_t vae_weights_bytes(const VideoVaeConfig& config, DType compute, bool with_encoder);
// Bytes that decode() and encode() need beyond the weights for a clip of so many pixel frames,
// output height x width; the clip itself is counted where decode() and encode() keep it.
uint64_t vae_peak_bytes(const VideoVaeConfig& config, DType compute, int64_t frames, int64_t height,
                        int64_t width);
uint64_t vae_encode_peak_bytes(const VideoVaeConfig& config, int64_t frames, int64_t height,
                               int64_t width);

}  // namespace engine
