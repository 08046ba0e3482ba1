// The video VAE: latents to 8-bit frames in groups that keep memory bounded, and frames to latents.
//
// Decoding takes a chunk of micro_frame_size frames at a time through the temporal decoder, then
// its frames in micro batches through the 2D decoder, and hands each batch on before the next
// begins. Activations are channels-last; a decoder computes in fp32 or bf16, an encoder in fp32,
// whatever dtype the weights are stored in.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>

#include "models/video_vae/runner.h"

namespace engine {

enum class VaeParts { kDecoder, kDecoderAndEncoder };

// What a caller wants to hear; each may be empty.
struct VaeHooks {
  // Asked before each group of frames; true ends the call with Error(kCancelled).
  std::function<bool()> cancelled;
  // For comparisons: layers by name, and of decode() also x_z (a chunk's 2D latents, after the
  // padding frames are dropped) and frames (a micro batch, not clamped).
  VaeTap tap;

  void check_cancelled() const;
};

// A micro batch of frames [count, H, W, 3], u8, host memory, good until the call returns; `first`
// is the index of its first frame. Batches come in order.
using VaeFrameSink = std::function<void(int64_t first, ConstTensorView rgb8)>;

// Standard normal draws for the two posteriors, fp32, host memory; empty means the mode.
struct VaePosteriorNoise {
  ConstTensorView spatial;   // [F, latent channels, h, w]
  ConstTensorView temporal;  // [latent channels, T, h, w]
};

// Means and log variances of both posteriors, fp32, host memory.
struct VaePosteriors {
  Tensor spatial_mean, spatial_logvar;    // [F, h, w, latent channels]
  Tensor temporal_mean, temporal_logvar;  // [T, h, w, latent channels]
};

class VideoVae {
 public:
  // `folder` holds config.json and the weights in any container that Checkpoint opens. Throws
  // Error(kNotFound | kInvalidCheckpoint | kUnsupported | kOutOfMemory).
  static VideoVae load(Backend& backend, const std::filesystem::path& folder, DType compute,
                       VaeParts parts = VaeParts::kDecoder);
  static VideoVae load(Backend& backend, const std::filesystem::path& folder,
                       const VideoVaeConfig& config, DType compute, VaeParts parts);

  // latent [C, T, h, w], fp32, in the backend's memory, as the sampler leaves it; T must be
  // vae_latent_frames(config(), frames). Gives `frames` frames of 8h x 8w to `sink`.
  void decode(ConstTensorView latent, int64_t frames, const VaeFrameSink& sink,
              const VaeHooks& hooks = {});

  // frames [F, H, W, 3] in host memory: fp32 in -1 .. 1, or u8. Returns the latent
  // [C, T, H / 8, W / 8], fp32, host memory, on the scale of the sampler. `posteriors`, if given,
  // receives the moments.
  Tensor encode(ConstTensorView frames, const VaePosteriorNoise& noise = {},
                const VaeHooks& hooks = {}, VaePosteriors* posteriors = nullptr);

  // Gives the activation buffers back; the next call allocates them again.
  void release_workspace() { workspace_.release(); }

  const VideoVaeConfig& config() const { return config_; }

 private:
  struct DecodeBuffers;
  struct EncodeBuffers;

  VideoVae(Backend& backend, VideoVaeConfig config)
      : backend_(&backend), config_(std::move(config)), workspace_(backend) {}

  Tensor denormalised(ConstTensorView latent) const;
  void decode_chunk(ConstTensorView latent, int64_t first, int64_t count, DecodeBuffers& buffers,
                    const VaeFrameSink& sink, const VaeHooks& hooks);
  void decode_frames(ConstTensorView latents, int64_t first, DecodeBuffers& buffers,
                     const VaeFrameSink& sink, const VaeHooks& hooks);

  EncodeBuffers allocate_encode_buffers(const Shape& frames, VaePosteriors* posteriors);
  void encode_frames(ConstTensorView frames, int64_t first, EncodeBuffers& buffers,
                     const VaePosteriorNoise& noise, const VaeHooks& hooks,
                     VaePosteriors* posteriors);
  void encode_chunk(int64_t latent_first, int64_t latent_count, EncodeBuffers& buffers,
                    const VaePosteriorNoise& noise, TensorView latent, VaePosteriors* posteriors);

  Backend* backend_;
  VideoVaeConfig config_;
  LoadedVaeNetwork spatial_decoder_, temporal_decoder_;
  std::optional<LoadedVaeNetwork> spatial_encoder_, temporal_encoder_;
  Tensor scale_, shift_;  // [C], fp32, in the backend's memory
  VaeWorkspace workspace_;
};

}  // namespace engine
