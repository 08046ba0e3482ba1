// The image VAE: one latent to one 8-bit picture at a time. It is the 2D half of the video VAE
// under the names of a checkpoint of its own.
#pragma once

#include "models/image_vae/config.h"
#include "models/video_vae/model.h"

namespace engine {

// Latents [F, h, w, latent] times the scaling factor to pictures [F, 8h, 8w, 3]. compute: kF32 or
// kBF16.
VaeNetwork image_decoder(const ImageVaeConfig& config, DType compute);

class ImageVae {
 public:
  // `folder` holds config.json and the weights in any container that Checkpoint opens. Throws
  // Error(kNotFound | kInvalidCheckpoint | kUnsupported | kOutOfMemory).
  static ImageVae load(Backend& backend, const std::filesystem::path& folder, DType compute);
  static ImageVae load(Backend& backend, const Checkpoint& checkpoint, const ImageVaeConfig& config,
                       DType compute);

  // latents [n, C, 1, h, w], fp32, in the backend's memory, as the sampler leaves them. Gives n
  // pictures [1, 8h, 8w, 3] to `sink`, one after the other. Throws Error(kCancelled).
  void decode(ConstTensorView latents, const VaeFrameSink& sink, const VaeHooks& hooks = {});

  // Gives the activation buffers back; the next call allocates them again.
  void release_workspace() { workspace_.release(); }

  const ImageVaeConfig& config() const { return config_; }

 private:
  ImageVae(Backend& backend, ImageVaeConfig config)
      : backend_(&backend), config_(std::move(config)), workspace_(backend) {}

  Backend* backend_;
  ImageVaeConfig config_;
  LoadedVaeNetwork decoder_;
  VaeWorkspace workspace_;
};

}  // namespace engine
