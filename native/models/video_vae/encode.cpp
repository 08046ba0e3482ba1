// The way back: frames to latents. The networks give the moments of two Gaussian posteriors, which
// are small; they are sampled on the host, so that no device needs an operation for it.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/check.h"
#include "engine/error.h"
#include "models/video_vae/model.h"

namespace engine {
namespace {

// The reference's bounds on log variances.
constexpr float kLogvarMin = -30.0f;
constexpr float kLogvarMax = 20.0f;

struct Moments {
  float mean = 0;
  float logvar = 0;

  // A null `noise` means the mode.
  float sample(const float* noise, int64_t index) const {
    return noise == nullptr ? mean : mean + std::exp(0.5f * logvar) * noise[index];
  }
};

// moments: [pixels, 2 C]: means, then log variances.
Moments moments_at(const float* moments, int64_t pixel, int64_t channel, int64_t channels) {
  const float* const at = moments + pixel * 2 * channels + channel;
  return {at[0], std::clamp(at[channels], kLogvarMin, kLogvarMax)};
}

void store(const Tensor& mean, const Tensor& logvar, int64_t index, const Moments& moments) {
  mean.f32()[index] = moments.mean;
  logvar.f32()[index] = moments.logvar;
}

// To fp32 in -1 .. 1.
void copy_frames(ConstTensorView frames, float* output) {
  if (frames.dtype() == DType::kF32) {
    std::memcpy(output, frames.data(), frames.bytes());
    return;
  }
  for (int64_t i = 0; i < frames.elements(); ++i) {
    output[i] = (static_cast<float>(frames.u8()[i]) / 255.0f - 0.5f) / 0.5f;
  }
}

Tensor download(Backend& backend, ConstTensorView device) {
  Tensor host(device.shape(), device.dtype());
  backend.download(device, host);
  return host;
}

}  // namespace

// What one encode() keeps beside the layers' buffers. Host copies are of the device tensors above
// them.
struct VideoVae::EncodeBuffers {
  int64_t batch = 0;             // frames of a micro batch
  Tensor frames, frames_host;    // [micro batch, H, W, 3], fp32
  Tensor moments;                // [micro batch, h, w, 2 C], fp32
  Tensor latents, latents_host;  // [chunk and its padding, h, w, C], fp32
  Tensor latent_moments;         // [latent frames of a chunk, h, w, 2 C], fp32
};

Tensor VideoVae::encode(ConstTensorView frames, const VaePosteriorNoise& noise,
                        const VaeHooks& hooks, VaePosteriors* posteriors) {
  check(spatial_encoder_.has_value(), "the VAE was loaded without its encoder");
  check(frames.shape().rank() == 4 && frames.dim(3) == config_.spatial.in_channels,
        "frames are [F, H, W, 3]");
  check(frames.dtype() == DType::kF32 || frames.dtype() == DType::kU8, "frames are fp32 or u8");
  const int64_t smallest = config_.spatial.factor();
  if (frames.dim(1) < smallest || frames.dim(2) < smallest) {
    throw Error(ErrorCode::kInvalidArgument,
                "frames of " + std::to_string(frames.dim(1)) + " x " +
                    std::to_string(frames.dim(2)) + " are too small to encode; at least " +
                    std::to_string(smallest) + " x " + std::to_string(smallest) + " are needed");
  }
  EncodeBuffers buffers = allocate_encode_buffers(frames.shape(), posteriors);
  const int64_t count = frames.dim(0);
  const int64_t latent_frames = vae_latent_frames(config_, count);
  Tensor latent(
      {config_.temporal.embed_dim, latent_frames, buffers.latents.dim(1), buffers.latents.dim(2)},
      DType::kF32);
  int64_t latent_first = 0;
  for (int64_t first = 0; first < count;) {
    const int64_t chunk = config_.chunk_frames(count - first);
    const int64_t latent_count = vae_latent_frames(config_, chunk);
    encode_frames(frames.rows(first, chunk), first, buffers, noise, hooks, posteriors);
    encode_chunk(latent_first, latent_count, buffers, noise, latent, posteriors);
    first += chunk;
    latent_first += latent_count;
  }
  return latent;
}

VideoVae::EncodeBuffers VideoVae::allocate_encode_buffers(const Shape& frames,
                                                          VaePosteriors* posteriors) {
  const VaeNetwork& spatial = spatial_encoder_->network;
  const VaeNetwork& temporal = temporal_encoder_->network;
  const int64_t count = frames[0];
  const int64_t chunk = config_.chunk_frames(count);
  EncodeBuffers buffers;
  FrameExtent batch{1, frames[1], frames[2]};
  buffers.batch = spatial_batch_frames(spatial, config_.micro_batch_size, batch);
  batch.frames = std::min(buffers.batch, chunk);
  const FrameExtent moments = network_output(spatial, batch);
  const FrameExtent padded{vae_latent_frames(config_, chunk) * config_.temporal.factor(),
                           moments.height, moments.width};
  const FrameExtent latent = network_output(temporal, padded);
  const auto tensor = [](FrameExtent extent, int64_t channels) {
    return Shape{extent.frames, extent.height, extent.width, channels};
  };
  const Shape frame_shape = tensor(batch, spatial.in_channels());
  const Shape latent_shape = tensor(padded, temporal.in_channels());
  buffers.frames = backend_->allocate(frame_shape, DType::kF32);
  buffers.frames_host = Tensor(frame_shape, DType::kF32);
  buffers.moments = backend_->allocate(tensor(moments, spatial.out_channels()), DType::kF32);
  buffers.latents = backend_->allocate(latent_shape, DType::kF32);
  buffers.latents_host = Tensor(latent_shape, DType::kF32);
  buffers.latent_moments = backend_->allocate(tensor(latent, temporal.out_channels()), DType::kF32);
  workspace_.reserve(spatial, batch);
  workspace_.reserve(temporal, padded);
  if (posteriors != nullptr) {
    const Shape all{count, moments.height, moments.width, config_.spatial.latent_channels};
    const Shape all_latent{vae_latent_frames(config_, count), latent.height, latent.width,
                           config_.temporal.embed_dim};
    *posteriors = {Tensor(all, DType::kF32), Tensor(all, DType::kF32),
                   Tensor(all_latent, DType::kF32), Tensor(all_latent, DType::kF32)};
  }
  return buffers;
}

// Fills buffers.latents with the 2D latents of a chunk, behind zeros up to whole groups of frames.
void VideoVae::encode_frames(ConstTensorView frames, int64_t first, EncodeBuffers& buffers,
                             const VaePosteriorNoise& noise, const VaeHooks& hooks,
                             VaePosteriors* posteriors) {
  const int64_t channels = config_.spatial.latent_channels;
  const int64_t pixels = buffers.latents.dim(1) * buffers.latents.dim(2);
  const int64_t count = frames.dim(0);
  const int64_t padded = vae_latent_frames(config_, count) * config_.temporal.factor();
  float* out = buffers.latents_host.f32();
  out = std::fill_n(out, (padded - count) * pixels * channels, 0.0f);
  for (int64_t done = 0; done < count; done += buffers.batch) {
    hooks.check_cancelled();
    const int64_t batch = std::min(buffers.batch, count - done);
    const TensorView device = buffers.frames.view().rows(0, batch);
    copy_frames(frames.rows(done, batch), buffers.frames_host.f32());
    backend_->upload(buffers.frames_host.view().rows(0, batch), device);
    const TensorView moments = buffers.moments.view().rows(0, batch);
    run_vae_network(*backend_, *spatial_encoder_, workspace_, device, moments, hooks.tap);
    const Tensor host = download(*backend_, moments);
    for (int64_t pixel = 0; pixel < batch * pixels; ++pixel) {
      const int64_t frame = first + done + pixel / pixels;
      for (int64_t channel = 0; channel < channels; ++channel) {
        const Moments at = moments_at(host.f32(), pixel, channel, channels);
        const float value =
            at.sample(noise.spatial.f32(), (frame * channels + channel) * pixels + pixel % pixels);
        *out++ = value * static_cast<float>(kSpatialScalingFactor);
        if (posteriors == nullptr) continue;
        store(posteriors->spatial_mean, posteriors->spatial_logvar,
              ((first + done) * pixels + pixel) * channels + channel, at);
      }
    }
  }
  backend_->upload(buffers.latents_host.view().rows(0, padded),
                   buffers.latents.view().rows(0, padded));
}

// Fills frames [latent_first, latent_first + latent_count) of `latent` from buffers.latents.
void VideoVae::encode_chunk(int64_t latent_first, int64_t latent_count, EncodeBuffers& buffers,
                            const VaePosteriorNoise& noise, TensorView latent,
                            VaePosteriors* posteriors) {
  const int64_t channels = config_.temporal.embed_dim;
  const int64_t frames = latent.dim(1);
  const int64_t pixels = latent.dim(2) * latent.dim(3);
  const int64_t padded = latent_count * config_.temporal.factor();
  const TensorView moments = buffers.latent_moments.view().rows(0, latent_count);
  run_vae_network(*backend_, *temporal_encoder_, workspace_, buffers.latents.view().rows(0, padded),
                  moments, {});
  const Tensor host = download(*backend_, moments);
  for (int64_t pixel = 0; pixel < latent_count * pixels; ++pixel) {
    const int64_t frame = latent_first + pixel / pixels;
    for (int64_t channel = 0; channel < channels; ++channel) {
      const Moments at = moments_at(host.f32(), pixel, channel, channels);
      const int64_t index = (channel * frames + frame) * pixels + pixel % pixels;
      const auto c = static_cast<size_t>(channel);
      latent.f32()[index] =
          (at.sample(noise.temporal.f32(), index) - config_.shift[c]) / config_.scale[c];
      if (posteriors == nullptr) continue;
      store(posteriors->temporal_mean, posteriors->temporal_logvar,
            (latent_first * pixels + pixel) * channels + channel, at);
    }
  }
}

}  // namespace engine
