#include "models/video_vae/network.h"

namespace engine {
namespace {

constexpr float kSpatialEps = 1e-6f;   // diffusers' AutoencoderKL
constexpr float kTemporalEps = 1e-5f;  // torch's default
constexpr const char* kTemporal = "temporal_vae.";

void spatial_res_block(VaeNetworkBuilder& builder, const SpatialVaeConfig& config,
                       const std::string& name, int64_t out) {
  builder.res_block(name, out, {.groups = config.norm_num_groups, .eps = kSpatialEps});
}

void mid_block(VaeNetworkBuilder& builder, const SpatialVaeConfig& config,
               const std::string& name) {
  const int64_t channels = builder.channels();
  spatial_res_block(builder, config, name + ".resnets.0", channels);
  if (config.mid_block_add_attention) {
    builder.attention(name + ".attentions.0", config.norm_num_groups, kSpatialEps);
  }
  spatial_res_block(builder, config, name + ".resnets.1", channels);
}

void temporal_res_blocks(VaeNetworkBuilder& builder, const TemporalVaeConfig& config,
                         const std::string& name, int64_t out) {
  for (int64_t i = 0; i < config.num_res_blocks; ++i) {
    builder.res_block(name + "." + std::to_string(i), out,
                      {.groups = config.num_groups,
                       .eps = kTemporalEps,
                       .conv_bias = false,
                       .shortcut = "conv3"});
  }
}

}  // namespace

VaeNetwork spatial_decoder(const SpatialVaeConfig& config, DType compute,
                           const SpatialVaeSource& source) {
  VaeNetworkBuilder builder(false, config.latent_channels, compute);
  const std::string prefix = source.prefix + "decoder.";
  const size_t levels = config.block_out_channels.size();
  builder.divide_input(source.scaling);
  if (config.use_post_quant_conv) {
    builder.conv(source.prefix + "post_quant_conv", config.latent_channels, {.kernel = 1});
  }
  builder.conv(prefix + "conv_in", config.block_out_channels.back(), {});
  builder.tap("s.conv_in");
  mid_block(builder, config, prefix + "mid_block");
  builder.tap("s.mid");
  for (size_t i = 0; i < levels; ++i) {
    const std::string name = prefix + "up_blocks." + std::to_string(i);
    for (int64_t j = 0; j <= config.layers_per_block; ++j) {
      spatial_res_block(builder, config, name + ".resnets." + std::to_string(j),
                        config.block_out_channels[levels - 1 - i]);
    }
    if (i + 1 < levels) builder.upsample_space(name + ".upsamplers.0.conv");
    builder.tap("s.up." + std::to_string(i));
  }
  builder.norm_silu(prefix + "conv_norm_out", config.norm_num_groups, kSpatialEps);
  builder.conv(prefix + "conv_out", config.out_channels, {});
  return builder.finish();
}

VaeNetwork spatial_encoder(const SpatialVaeConfig& config) {
  VaeNetworkBuilder builder(false, config.in_channels, DType::kF32);
  const SpatialVaeSource source;
  const std::string prefix = source.prefix + "encoder.";
  const size_t levels = config.block_out_channels.size();
  builder.conv(prefix + "conv_in", config.block_out_channels.front(), {});
  for (size_t i = 0; i < levels; ++i) {
    const std::string name = prefix + "down_blocks." + std::to_string(i);
    const int64_t channels = config.block_out_channels[i];
    for (int64_t j = 0; j < config.layers_per_block; ++j) {
      spatial_res_block(builder, config, name + ".resnets." + std::to_string(j), channels);
    }
    if (i + 1 < levels) builder.conv(name + ".downsamplers.0.conv", channels, {.stride = 2});
  }
  mid_block(builder, config, prefix + "mid_block");
  builder.norm_silu(prefix + "conv_norm_out", config.norm_num_groups, kSpatialEps);
  builder.conv(prefix + "conv_out", 2 * config.latent_channels, {});
  if (config.use_quant_conv) {
    builder.conv(source.prefix + "quant_conv", 2 * config.latent_channels, {.kernel = 1});
  }
  return builder.finish();
}

VaeNetwork temporal_decoder(const TemporalVaeConfig& config, DType compute) {
  VaeNetworkBuilder builder(true, config.embed_dim, compute);
  const std::string prefix = std::string(kTemporal) + "decoder.";
  const int64_t widest = config.filters * config.channel_multipliers.back();
  builder.conv(std::string(kTemporal) + "post_quant_conv", config.latent_embed_dim, {.kernel = 1});
  builder.tap("post_quant");
  builder.conv(prefix + "conv1", widest, {});
  builder.tap("t.conv1");
  temporal_res_blocks(builder, config, prefix + "res_blocks", widest);
  builder.tap("t.res");
  for (size_t level = config.channel_multipliers.size(); level-- > 0;) {
    const std::string index = std::to_string(level);
    temporal_res_blocks(builder, config, prefix + "block_res_blocks." + index,
                        config.filters * config.channel_multipliers[level]);
    builder.tap("t.level." + index);
    if (level > 0 && config.temporal_downsample[level - 1]) {
      builder.upsample_time(prefix + "conv_blocks." + std::to_string(level - 1));
    }
  }
  builder.norm_silu(prefix + "norm1", config.num_groups, kTemporalEps);
  builder.conv(prefix + "conv_out", config.in_out_channels, {});
  builder.tap("t.conv_out");
  return builder.finish();
}

VaeNetwork temporal_encoder(const TemporalVaeConfig& config) {
  VaeNetworkBuilder builder(true, config.in_out_channels, DType::kF32);
  const std::string prefix = std::string(kTemporal) + "encoder.";
  builder.conv(prefix + "conv_in", config.filters, {.has_bias = false});
  for (size_t level = 0; level < config.channel_multipliers.size(); ++level) {
    const std::string index = std::to_string(level);
    const int64_t channels = config.filters * config.channel_multipliers[level];
    temporal_res_blocks(builder, config, prefix + "block_res_blocks." + index, channels);
    if (level < config.temporal_downsample.size() && config.temporal_downsample[level]) {
      builder.conv(prefix + "conv_blocks." + index, channels, {.stride = 2});
    }
  }
  temporal_res_blocks(builder, config, prefix + "res_blocks", builder.channels());
  builder.norm_silu(prefix + "norm1", config.num_groups, kTemporalEps);
  builder.conv(prefix + "conv2", 2 * config.latent_embed_dim, {.kernel = 1});
  builder.conv(std::string(kTemporal) + "quant_conv", 2 * config.embed_dim, {.kernel = 1});
  return builder.finish();
}

}  // namespace engine
