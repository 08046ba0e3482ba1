#include "models/video_vae/model.h"

#include <algorithm>

#include "core/check.h"
#include "engine/error.h"

namespace engine {
namespace {

LoadedVaeNetwork load_network(Backend& backend, const Checkpoint& checkpoint, VaeNetwork network) {
  std::vector<VaeLayerWeights> weights = load_vae_weights(backend, checkpoint, network);
  return {std::move(network), std::move(weights)};
}

Tensor upload_values(Backend& backend, std::vector<float> values) {
  const Shape shape{static_cast<int64_t>(values.size())};
  Tensor device = backend.allocate(shape, DType::kF32);
  backend.upload(ConstTensorView(values.data(), DType::kF32, shape), device);
  return device;
}

}  // namespace

// What one decode() keeps beside the layers' buffers.
struct VideoVae::DecodeBuffers {
  Tensor latents;    // [frames of a chunk and its padding, h, w, C], fp32
  Tensor frames;     // [micro batch, H, W, 3], fp32
  Tensor rgb8;       // the same, u8
  Tensor rgb8_host;  // the same, host memory
  int64_t batch = 0;
};

void VaeHooks::check_cancelled() const {
  if (cancelled && cancelled()) {
    throw Error(ErrorCode::kCancelled, "cancelled between groups of frames");
  }
}

VideoVae VideoVae::load(Backend& backend, const std::filesystem::path& folder, DType compute,
                        VaeParts parts) {
  return load(backend, folder, read_vae_config(folder), compute, parts);
}

VideoVae VideoVae::load(Backend& backend, const std::filesystem::path& folder,
                        const VideoVaeConfig& config, DType compute, VaeParts parts) {
  const Checkpoint checkpoint = Checkpoint::open(folder);
  VideoVae vae(backend, config);
  vae.config_.scale = load_channel_values(checkpoint, "scale", config.scale);
  vae.config_.shift = load_channel_values(checkpoint, "shift", config.shift);
  vae.scale_ = upload_values(backend, vae.config_.scale);
  vae.shift_ = upload_values(backend, vae.config_.shift);
  vae.spatial_decoder_ =
      load_network(backend, checkpoint, spatial_decoder(config.spatial, compute));
  vae.temporal_decoder_ =
      load_network(backend, checkpoint, temporal_decoder(config.temporal, compute));
  if (parts == VaeParts::kDecoderAndEncoder) {
    vae.spatial_encoder_ = load_network(backend, checkpoint, spatial_encoder(config.spatial));
    vae.temporal_encoder_ = load_network(backend, checkpoint, temporal_encoder(config.temporal));
  }
  return vae;
}

Tensor VideoVae::denormalised(ConstTensorView latent) const {
  const Shape& shape = latent.shape();
  Tensor output = backend_->allocate({shape[1], shape[2], shape[3], shape[0]}, DType::kF32);
  backend_->channels_last(
      {.input = latent, .scale = scale_.f32(), .shift = shift_.f32(), .output = output});
  return output;
}

void VideoVae::decode(ConstTensorView latent, int64_t frames, const VaeFrameSink& sink,
                      const VaeHooks& hooks) {
  check(latent.shape().rank() == 4 && latent.dim(0) == config_.temporal.embed_dim,
        "a latent is [C, T, h, w]");
  check(frames > 0 && latent.dim(1) == vae_latent_frames(config_, frames),
        "latent frames and frames do not belong together");
  const Tensor latents = denormalised(latent);
  const int64_t chunk = config_.chunk_frames(frames);
  const FrameExtent chunk_extent{vae_latent_frames(config_, chunk), latent.dim(2), latent.dim(3)};
  const FrameExtent decoded = network_output(temporal_decoder_.network, chunk_extent);
  DecodeBuffers buffers;
  buffers.batch = spatial_batch_frames(spatial_decoder_.network, config_.micro_batch_size, decoded);
  const FrameExtent batch_extent{std::min(buffers.batch, chunk), decoded.height, decoded.width};
  const FrameExtent pixels = network_output(spatial_decoder_.network, batch_extent);
  const Shape pixel_shape{pixels.frames, pixels.height, pixels.width, config_.spatial.out_channels};
  buffers.latents = backend_->allocate(
      {decoded.frames, decoded.height, decoded.width, config_.temporal.in_out_channels},
      DType::kF32);
  buffers.frames = backend_->allocate(pixel_shape, DType::kF32);
  buffers.rgb8 = backend_->allocate(pixel_shape, DType::kU8);
  buffers.rgb8_host = Tensor(pixel_shape, DType::kU8);
  workspace_.reserve(temporal_decoder_.network, chunk_extent);
  workspace_.reserve(spatial_decoder_.network, batch_extent);

  int64_t latent_first = 0;
  for (int64_t first = 0; first < frames;) {
    const int64_t count = config_.chunk_frames(frames - first);
    const int64_t latent_count = vae_latent_frames(config_, count);
    decode_chunk(latents.view().rows(latent_first, latent_count), first, count, buffers, sink,
                 hooks);
    latent_first += latent_count;
    first += count;
  }
}

void VideoVae::decode_chunk(ConstTensorView latent, int64_t first, int64_t count,
                            DecodeBuffers& buffers, const VaeFrameSink& sink,
                            const VaeHooks& hooks) {
  hooks.check_cancelled();
  const int64_t decoded = latent.dim(0) * config_.temporal.factor();
  run_vae_network(*backend_, temporal_decoder_, workspace_, latent,
                  buffers.latents.view().rows(0, decoded), hooks.tap);
  // Encoding padded in front to whole groups of frames; what stands for the padding is dropped.
  const TensorView kept = buffers.latents.view().rows(decoded - count, count);
  if (hooks.tap) hooks.tap("x_z", kept);
  for (int64_t done = 0; done < count; done += buffers.batch) {
    const int64_t batch = std::min(buffers.batch, count - done);
    decode_frames(kept.rows(done, batch), first + done, buffers, sink, hooks);
  }
}

void VideoVae::decode_frames(ConstTensorView latents, int64_t first, DecodeBuffers& buffers,
                             const VaeFrameSink& sink, const VaeHooks& hooks) {
  hooks.check_cancelled();
  const int64_t count = latents.dim(0);
  const TensorView frames = buffers.frames.view().rows(0, count);
  const TensorView rgb8 = buffers.rgb8.view().rows(0, count);
  const TensorView host = buffers.rgb8_host.view().rows(0, count);
  run_vae_network(*backend_, spatial_decoder_, workspace_, latents, frames, hooks.tap);
  if (hooks.tap) hooks.tap("frames", frames);
  backend_->frames_to_rgb8({.input = frames, .output = rgb8});
  backend_->download(rgb8, host);
  sink(first, host);
}

}  // namespace engine
