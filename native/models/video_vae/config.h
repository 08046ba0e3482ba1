// Sizes of the Open-Sora v1.2 video VAE: a 2D autoencoder (8x in space) applied to each frame, and
// a causal temporal autoencoder (4x in time) on its latents.
#pragma once

#include <filesystem>
#include <vector>

#include "core/json.h"

namespace engine {

// diffusers' AutoencoderKL; defaults are those of the published file, which names another
// repository instead of spelling them out.
struct SpatialVaeConfig {
  int64_t in_channels = 3;
  int64_t out_channels = 3;
  int64_t latent_channels = 4;
  std::vector<int64_t> block_out_channels{128, 256, 512, 512};
  int64_t layers_per_block = 2;
  int64_t norm_num_groups = 32;
  bool mid_block_add_attention = true;
  bool use_quant_conv = true;
  bool use_post_quant_conv = true;

  // How many pixels a latent pixel stands for, in each direction.
  int64_t factor() const { return int64_t{1} << (block_out_channels.size() - 1); }
};

// Defaults are those of VAE_Temporal_SD.
struct TemporalVaeConfig {
  int64_t in_out_channels = 4;
  int64_t latent_embed_dim = 4;
  int64_t embed_dim = 4;
  int64_t filters = 128;
  int64_t num_res_blocks = 4;
  std::vector<int64_t> channel_multipliers{1, 2, 2, 4};
  std::vector<bool> temporal_downsample{false, true, true};  // one less than the multipliers
  int64_t num_groups = 32;

  // How many frames a latent frame stands for.
  int64_t factor() const;
};

struct VideoVaeConfig {
  SpatialVaeConfig spatial;
  TemporalVaeConfig temporal;
  // Frames that go through the temporal autoencoder together; 0: the whole clip.
  int64_t micro_frame_size = 17;
  // Frames that go through the 2D autoencoder together, at most.
  int64_t micro_batch_size = 4;
  // Latents of the sampler are (z - shift) / scale, per channel. A checkpoint's own win.
  std::vector<float> scale{3.85f, 2.32f, 2.33f, 3.06f};
  std::vector<float> shift{-0.10f, 0.34f, 0.27f, 0.98f};

  // Frames of the next chunk when `left` are left.
  int64_t chunk_frames(int64_t left) const;
};

// What lies between the two autoencoders: 2D latents times this. The 2D config's own
// scaling_factor plays no part (open-sora-formats.md, 9).
inline constexpr double kSpatialScalingFactor = 0.18215;

// Throw Error(kInvalidCheckpoint) for a missing or absurd field, Error(kUnsupported) for another
// kind of VAE. The first takes the arguments of AutoencoderKL alone.
SpatialVaeConfig parse_spatial_vae_config(const Json& json, const std::string& context);
VideoVaeConfig parse_vae_config(const Json& json, const std::string& context);
// Reads config.json of a vae folder.
VideoVaeConfig read_vae_config(const std::filesystem::path& folder);

// Latent frames T of a clip: each chunk gives its frames / factor, rounded up.
int64_t vae_latent_frames(const VideoVaeConfig& config, int64_t frames);

}  // namespace engine
