// The four networks of the published VAE, named as its checkpoint names them.
#pragma once

#include "models/video_vae/block.h"

namespace engine {

// How a checkpoint names the 2D autoencoder, and what its latents were multiplied by.
struct SpatialVaeSource {
  std::string prefix = "spatial_vae.module.";
  double scaling = kSpatialScalingFactor;
};

// 2D latents [F, h, w, latent] times the scaling factor to frames [F, 8h, 8w, 3].
// compute: kF32 or kBF16. Taps: s.conv_in, s.mid, s.up.0, s.up.1, ...
VaeNetwork spatial_decoder(const SpatialVaeConfig& config, DType compute,
                           const SpatialVaeSource& source = {});
// Frames [F, H, W, 3] to the moments of the posterior [F, H/8, W/8, 2 latent]: means, then log
// variances. Encoders compute in fp32.
VaeNetwork spatial_encoder(const SpatialVaeConfig& config);
// Latents of a chunk [T, h, w, embed] to 2D latents [4T, h, w, latent].
// Taps: post_quant, t.conv1, t.res, t.level.3, ..., t.level.0 (before upsampling), t.conv_out.
VaeNetwork temporal_decoder(const TemporalVaeConfig& config, DType compute);
// 2D latents of a chunk [4T, h, w, latent] to moments [T, h, w, 2 embed].
VaeNetwork temporal_encoder(const TemporalVaeConfig& config);

}  // namespace engine
