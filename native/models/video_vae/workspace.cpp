#include "models/video_vae/workspace.h"

#include <algorithm>

#include "core/check.h"

namespace engine {
namespace {

// Enough for micro batches of four frames at 360p in the published sizes; larger pictures go
// through in smaller batches.
constexpr uint64_t kSpatialBufferBytesMax = uint64_t{2} << 30;

uint64_t tensor_bytes(FrameExtent extent, int64_t channels, DType dtype = DType::kF32) {
  return static_cast<uint64_t>(extent.frames) * static_cast<uint64_t>(extent.height) *
         static_cast<uint64_t>(extent.width) * static_cast<uint64_t>(channels) * dtype_bytes(dtype);
}

uint64_t sum(const VaeBufferBytes& bytes) {
  uint64_t total = 0;
  for (const uint64_t buffer : bytes) total += buffer;
  return total;
}

uint64_t larger_of(const VaeBufferBytes& first, const VaeBufferBytes& second) {
  uint64_t total = 0;
  for (size_t i = 0; i < kVaeBuffers; ++i) total += std::max(first[i], second[i]);
  return total;
}

FrameExtent convolved(const VaeLayer& layer, FrameExtent input) {
  const ConvGeometry& geometry = layer.geometry;
  std::array<int64_t, 3> size = geometry.convolved_size({input.frames, input.height, input.width});
  for (size_t axis = 0; axis < size.size(); ++axis) {
    const int64_t padded = size[axis] + geometry.pad_before[axis] + geometry.pad_after[axis];
    size[axis] = (padded - layer.kernel[axis]) / geometry.stride[axis] + 1;
  }
  return {size[0], size[1], size[2]};
}

// Taps that are kept: of a doubled picture, whose every pixel stands four times, those of the four
// places that a 3 x 3 kernel has on them, 2 x 2 each; in tiles, 4 x 4 points for 3 x 3 taps.
int64_t kept_taps(const VaeLayer& layer) {
  if (layer.geometry.upsample) return 4 * 2 * 2;
  if (in_tiles(layer.in, layer.out, layer.kernel, layer.geometry)) return layer.kernel[0] * 4 * 4;
  return layer.kernel[0] * layer.kernel[1] * layer.kernel[2];
}

uint64_t layer_weight_bytes(const VaeLayer& layer, DType compute) {
  const auto in = static_cast<uint64_t>(layer.in);
  const auto out = static_cast<uint64_t>(layer.out);
  switch (layer.kind) {
    case VaeLayerKind::kConv: {
      const auto taps = static_cast<uint64_t>(kept_taps(layer));
      const uint64_t norm = layer.norm.empty() ? 0 : 2 * in * sizeof(float);
      const uint64_t bias = layer.has_bias ? out * sizeof(float) : 0;
      return in * out * taps * dtype_bytes(compute) + bias + norm;
    }
    case VaeLayerKind::kGroupNorm:
      return 2 * in * sizeof(float);
    case VaeLayerKind::kAttention:
      return 4 * (in * in * dtype_bytes(compute) + in * sizeof(float));
    case VaeLayerKind::kChannelsToTime:
      return 0;
  }
  return 0;
}

// Room for the normed lines under a convolution of such an input: as many as stay in a shared cache
// of the processor, where the products find them, and at least what the kernel covers.
uint64_t norm_line_bytes(const VaeLayer& layer, FrameExtent input, DType compute) {
  constexpr uint64_t kWanted = uint64_t{8} << 20;
  if (layer.norm.empty()) return 0;
  const uint64_t line = tensor_bytes({input.frames, 1, input.width}, layer.in, compute);
  const auto height = static_cast<uint64_t>(input.height);
  const uint64_t wanted = std::min(height, kWanted / std::max<uint64_t>(line, 1));
  return line * std::max(wanted, static_cast<uint64_t>(layer.kernel[1]));
}

// Latent frames of the largest chunk, which is the first.
int64_t chunk_latent_frames(const VideoVaeConfig& config, int64_t frames) {
  return vae_latent_frames(config, config.chunk_frames(frames));
}

}  // namespace

uint64_t network_weight_bytes(const VaeNetwork& network) {
  uint64_t bytes = 0;
  for (const VaeLayer& layer : network.layers) {
    bytes += layer_weight_bytes(layer, network.compute_of(layer));
  }
  return bytes;
}

FrameExtent layer_output(const VaeLayer& layer, FrameExtent input) {
  switch (layer.kind) {
    case VaeLayerKind::kConv:
      return convolved(layer, input);
    case VaeLayerKind::kChannelsToTime:
      return {2 * input.frames, input.height, input.width};
    case VaeLayerKind::kGroupNorm:
    case VaeLayerKind::kAttention:
      return input;
  }
  return input;
}

FrameExtent network_output(const VaeNetwork& network, FrameExtent input) {
  for (const VaeLayer& layer : network.layers) input = layer_output(layer, input);
  return input;
}

VaeBufferBytes vae_buffer_bytes(const VaeNetwork& network, FrameExtent input) {
  VaeBufferBytes bytes{};
  const auto use = [&](int buffer, uint64_t count) {
    if (buffer >= 0)
      bytes[static_cast<size_t>(buffer)] = std::max(bytes[static_cast<size_t>(buffer)], count);
  };
  FrameExtent extent = input;
  for (const VaeLayer& layer : network.layers) {
    use(kNormLines, norm_line_bytes(layer, extent, network.compute));
    extent = layer_output(layer, extent);
    use(layer.output, tensor_bytes(extent, layer.out, network.compute));
    use(layer.scratch, 3 * tensor_bytes(extent, layer.out, network.compute));
  }
  return bytes;
}

int64_t spatial_batch_frames(const VaeNetwork& network, int64_t micro_batch_size,
                             FrameExtent frame) {
  frame.frames = 1;
  const uint64_t frame_bytes = sum(vae_buffer_bytes(network, frame));
  const auto fitting =
      static_cast<int64_t>(kSpatialBufferBytesMax / std::max<uint64_t>(frame_bytes, 1));
  return std::clamp<int64_t>(fitting, 1, micro_batch_size);
}

void VaeWorkspace::reserve(const VaeNetwork& network, FrameExtent input) {
  const VaeBufferBytes needed = vae_buffer_bytes(network, input);
  for (size_t i = 0; i < kVaeBuffers; ++i) {
    const bool enough = !buffers_[i].empty() && buffers_[i].bytes() >= needed[i];
    if (enough || needed[i] == 0) continue;
    buffers_[i] = Tensor();  // give the old one back first
    buffers_[i] = backend_->allocate({static_cast<int64_t>(needed[i])}, DType::kU8);
  }
}

TensorView VaeWorkspace::view(int buffer, Shape shape, DType dtype) const {
  const Tensor& block = buffers_[static_cast<size_t>(buffer)];
  const TensorView view(block.view().data(), dtype, shape);
  check(!block.empty() && view.bytes() <= block.bytes(), "a VAE buffer was planned too small");
  return view;
}

uint64_t vae_weights_bytes(const VideoVaeConfig& config, DType compute, bool with_encoder) {
  uint64_t bytes = network_weight_bytes(spatial_decoder(config.spatial, compute)) +
                   network_weight_bytes(temporal_decoder(config.temporal, compute));
  if (with_encoder) {
    bytes += network_weight_bytes(spatial_encoder(config.spatial)) +
             network_weight_bytes(temporal_encoder(config.temporal));
  }
  return bytes;
}

uint64_t vae_peak_bytes(const VideoVaeConfig& config, DType compute, int64_t frames, int64_t height,
                        int64_t width) {
  const VaeNetwork spatial = spatial_decoder(config.spatial, compute);
  const VaeNetwork temporal = temporal_decoder(config.temporal, compute);
  const int64_t factor = config.spatial.factor();
  const FrameExtent latent{chunk_latent_frames(config, frames), height / factor, width / factor};
  FrameExtent batch = latent;
  batch.frames = spatial_batch_frames(spatial, config.micro_batch_size, latent);
  const FrameExtent pixels = network_output(spatial, batch);
  const FrameExtent whole{vae_latent_frames(config, frames), latent.height, latent.width};
  // 8-bit frames lie on the device and on the host.
  const uint64_t pixel_bytes = tensor_bytes(pixels, config.spatial.out_channels);
  return larger_of(vae_buffer_bytes(temporal, latent), vae_buffer_bytes(spatial, batch)) +
         tensor_bytes(whole, config.temporal.embed_dim) +
         tensor_bytes(network_output(temporal, latent), config.temporal.in_out_channels) +
         pixel_bytes + 2 * pixel_bytes / sizeof(float);
}

uint64_t vae_encode_peak_bytes(const VideoVaeConfig& config, int64_t frames, int64_t height,
                               int64_t width) {
  const VaeNetwork spatial = spatial_encoder(config.spatial);
  const VaeNetwork temporal = temporal_encoder(config.temporal);
  FrameExtent batch{1, height, width};
  batch.frames = spatial_batch_frames(spatial, config.micro_batch_size, batch);
  const FrameExtent moments = network_output(spatial, batch);
  const FrameExtent chunk{chunk_latent_frames(config, frames) * config.temporal.factor(),
                          moments.height, moments.width};
  const FrameExtent latent = network_output(temporal, chunk);
  const FrameExtent whole{vae_latent_frames(config, frames), latent.height, latent.width};
  // Frames, 2D latents and moments each lie on the host and on the device.
  return larger_of(vae_buffer_bytes(temporal, chunk), vae_buffer_bytes(spatial, batch)) +
         2 * tensor_bytes(batch, config.spatial.in_channels) +
         2 * tensor_bytes(moments, 2 * config.spatial.latent_channels) +
         2 * tensor_bytes(chunk, config.temporal.in_out_channels) +
         2 * tensor_bytes(latent, 2 * config.temporal.embed_dim) +
         tensor_bytes(whole, config.temporal.embed_dim);
}

}  // namespace engine
