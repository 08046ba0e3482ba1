// The 2D autoencoder of PixArt-alpha and DiT (diffusers' AutoencoderKL), read from the config.json
// of its folder.
#pragma once

#include <filesystem>

#include "core/dtype.h"
#include "models/video_vae/config.h"

namespace engine {

struct ImageVaeConfig {
  SpatialVaeConfig network;
  // Latents of the sampler are 2D latents times this.
  double scaling_factor = kSpatialScalingFactor;
};

// Throws Error(kInvalidCheckpoint) for a missing or absurd field, Error(kUnsupported) for another
// kind of VAE.
ImageVaeConfig parse_image_vae_config(const Json& json, const std::string& context);
// Reads config.json of a vae folder.
ImageVaeConfig read_image_vae_config(const std::filesystem::path& folder);

// Bytes of the packed weights in `compute`.
uint64_t image_vae_weights_bytes(const ImageVaeConfig& config, DType compute);
// Bytes that decode() needs beyond the weights for pictures of output height x width.
uint64_t image_vae_peak_bytes(const ImageVaeConfig& config, DType compute, int64_t height,
                              int64_t width);

}  // namespace engine
