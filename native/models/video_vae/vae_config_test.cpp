// What is worked out from config.json alone: sizes, networks, bytes; and what a bad one is told.
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/error.h"
#include "models/video_vae/workspace.h"

namespace engine {
namespace {

// As published: the parts are named, their sizes are not.
Json published() {
  return Json::parse(R"({
    "architectures": ["VideoAutoencoderPipeline"], "cal_loss": false, "freeze_vae_2d": false,
    "from_pretrained": null, "micro_frame_size": 17,
    "scale": [3.85, 2.32, 2.33, 3.06], "shift": [-0.1, 0.34, 0.27, 0.98],
    "vae_2d": {"from_pretrained": "PixArt-alpha/pixart_sigma_sdxlvae_T5_diffusers",
               "local_files_only": false, "micro_batch_size": 4, "subfolder": "vae",
               "type": "VideoAutoencoderKL"},
    "vae_temporal": {"from_pretrained": null, "type": "VAE_Temporal_SD"}})");
}

template <class Call>
Error error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error was thrown";
  return {ErrorCode::kInternal, ""};
}

Error parse_error(const Json& json) {
  return error_of([&] { parse_vae_config(json, "vae/config.json"); });
}

// Numbers that are kept beyond the published weights: in tiles 16 for 9.
uint64_t added_in_tiles(const VaeNetwork& network) {
  int64_t added = 0;
  for (const VaeLayer& layer : network.layers) {
    if (layer.kind != VaeLayerKind::kConv) continue;
    if (!in_tiles(layer.in, layer.out, layer.kernel, layer.geometry)) continue;
    added += layer.in * layer.out * layer.kernel[0] * (16 - 9);
  }
  return static_cast<uint64_t>(added);
}

TEST(VaeConfig, of_the_published_file_takes_the_sizes_of_the_types_it_names) {
  const VideoVaeConfig config = parse_vae_config(published(), "config.json");
  EXPECT_EQ(config.spatial.factor(), 8);
  EXPECT_EQ(config.temporal.factor(), 4);
  EXPECT_EQ(config.temporal.filters, 128);
  EXPECT_EQ(config.micro_frame_size, 17);
  EXPECT_FLOAT_EQ(config.shift[3], 0.98f);
  // The hub's file has 1,573,430,548 bytes of fp32; header and buffers are under 1 MB of it. Behind
  // a doubled picture 16 taps are kept for 9.
  const uint64_t doubled = 7 * (2 * 512 * 512 + 256 * 256);
  const uint64_t tiled = added_in_tiles(spatial_decoder(config.spatial, DType::kF32)) +
                         added_in_tiles(temporal_decoder(config.temporal, DType::kF32)) +
                         added_in_tiles(spatial_encoder(config.spatial)) +
                         added_in_tiles(temporal_encoder(config.temporal));
  const uint64_t bytes =
      vae_weights_bytes(config, DType::kF32, true) - (doubled + tiled) * sizeof(float);
  EXPECT_LT(bytes, 1'573'430'548u);
  EXPECT_GT(bytes, 1'572'430'548u);
}

TEST(VaeConfig, in_bf16_halves_all_but_biases_norms_and_what_reads_latents) {
  const VideoVaeConfig config = parse_vae_config(published(), "config.json");
  for (const auto& [whole, half] : {std::pair{spatial_decoder(config.spatial, DType::kF32),
                                              spatial_decoder(config.spatial, DType::kBF16)},
                                    std::pair{temporal_decoder(config.temporal, DType::kF32),
                                              temporal_decoder(config.temporal, DType::kBF16)}}) {
    const uint64_t kept = 2 * network_weight_bytes(half) - network_weight_bytes(whole);
    EXPECT_LT(kept, network_weight_bytes(whole) / 500);
    const FrameExtent extent{4, 30, 53};
    for (size_t i = 0; i < kNormLines; ++i) {
      EXPECT_EQ(2 * vae_buffer_bytes(half, extent)[i], vae_buffer_bytes(whole, extent)[i]);
    }
  }
}

TEST(VaeConfig, counts_latent_frames_by_chunks) {
  const VideoVaeConfig config = parse_vae_config(published(), "config.json");
  const std::vector<std::pair<int64_t, int64_t>> expected{
      {1, 1}, {4, 1}, {5, 2}, {16, 4}, {17, 5}, {18, 6}, {34, 10}, {51, 15}, {408, 120}};
  for (const auto& [frames, latent] : expected) {
    EXPECT_EQ(vae_latent_frames(config, frames), latent) << frames;
  }
}

TEST(VaeConfig, without_a_chunk_size_takes_the_clip_as_one) {
  Json json = published();
  json["micro_frame_size"] = nullptr;
  const VideoVaeConfig config = parse_vae_config(json, "config.json");
  EXPECT_EQ(config.chunk_frames(51), 51);
  EXPECT_EQ(vae_latent_frames(config, 51), 13);
}

TEST(VaeConfig, names_the_field_that_is_absurd) {
  const std::vector<std::pair<std::string, Json>> cases{
      {"/micro_frame_size", 0},
      {"/micro_frame_size", "17"},
      {"/scale", Json::array({1, 2})},
      {"/shift", Json::array({1, 2, 3, "x"})},
      {"/vae_2d", 3},
      {"/vae_2d/module_config/block_out_channels", Json::array()},
      {"/vae_2d/module_config/block_out_channels", Json::array({64, -64})},
      {"/vae_2d/module_config/layers_per_block", int64_t{1} << 40},
      {"/vae_temporal/channel_multipliers", Json::array({1, 1 << 20})},
      {"/vae_temporal/temporal_downsample", Json::array({true, 1, 0})},
      {"/vae_temporal/temporal_downsample", Json::array({true})},
  };
  for (const auto& [field, value] : cases) {
    Json json = published();
    json[Json::json_pointer(field)] = value;
    const Error error = parse_error(json);
    EXPECT_EQ(error.code(), ErrorCode::kInvalidCheckpoint) << field;
    const std::string name = field.substr(field.rfind('/') + 1);
    EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
  }
}

TEST(VaeConfig, refuses_groups_that_do_not_divide_the_channels) {
  Json json = published();
  json["vae_temporal"]["filters"] = 100;
  EXPECT_EQ(parse_error(json).code(), ErrorCode::kInvalidCheckpoint);
}

TEST(VaeConfig, refuses_another_kind_of_vae) {
  for (const char* field : {"/vae_2d/type", "/vae_temporal/type", "/vae_2d/module_config/act_fn"}) {
    Json json = published();
    json[Json::json_pointer(field)] = "Other";
    EXPECT_EQ(parse_error(json).code(), ErrorCode::kUnsupported) << field;
  }
  Json json = published();
  json["vae_2d"]["module_config"]["up_block_types"] = {"UpDecoderBlock2D", "AttnUpDecoderBlock2D"};
  EXPECT_EQ(parse_error(json).code(), ErrorCode::kUnsupported);
}

TEST(VaeNetwork, turns_latents_into_frames_and_back) {
  const VideoVaeConfig config = parse_vae_config(published(), "config.json");
  const FrameExtent decoded =
      network_output(temporal_decoder(config.temporal, DType::kF32), {5, 30, 53});
  EXPECT_EQ(decoded.frames, 20);
  const FrameExtent pixels =
      network_output(spatial_decoder(config.spatial, DType::kF32), {4, 30, 53});
  EXPECT_EQ(pixels.height, 240);
  EXPECT_EQ(pixels.width, 424);
  // Sizes that are not multiples of 8 are cut, as in diffusers.
  const FrameExtent latent = network_output(spatial_encoder(config.spatial), {4, 247, 429});
  EXPECT_EQ(latent.height, 30);
  EXPECT_EQ(latent.width, 53);
  EXPECT_EQ(network_output(temporal_encoder(config.temporal), {20, 30, 53}).frames, 5);
}

TEST(VaeNetwork, never_reads_a_buffer_that_it_writes_but_to_add_to_it) {
  const VideoVaeConfig config = parse_vae_config(published(), "config.json");
  for (const VaeNetwork& network :
       {spatial_decoder(config.spatial, DType::kF32), spatial_encoder(config.spatial),
        temporal_decoder(config.temporal, DType::kF32), temporal_encoder(config.temporal)}) {
    for (const VaeLayer& layer : network.layers) {
      if (layer.kind == VaeLayerKind::kGroupNorm) continue;
      EXPECT_TRUE(layer.input != layer.output || layer.output == kOuterBuffer) << layer.name;
      EXPECT_NE(layer.scratch, layer.input) << layer.name;
    }
  }
}

TEST(VaeWorkspaceBytes, do_not_grow_with_the_length_of_a_clip) {
  const VideoVaeConfig config = parse_vae_config(published(), "config.json");
  const uint64_t one_chunk = vae_peak_bytes(config, DType::kF32, 17, 480, 848);
  const uint64_t latents = 24 * 5 * 4 * 60 * 106 * sizeof(float);
  EXPECT_LT(vae_peak_bytes(config, DType::kF32, 408, 480, 848), one_chunk + latents + 1);
  EXPECT_GE(vae_encode_peak_bytes(config, 408, 480, 848),
            vae_encode_peak_bytes(config, 17, 480, 848));
}

TEST(VaeWorkspaceBytes, are_bounded_by_smaller_batches_for_larger_pictures) {
  const VideoVaeConfig config = parse_vae_config(published(), "config.json");
  const VaeNetwork decoder = spatial_decoder(config.spatial, DType::kF32);
  EXPECT_EQ(spatial_batch_frames(decoder, 4, {1, 30, 53}), 4);
  EXPECT_EQ(spatial_batch_frames(decoder, 4, {1, 90, 160}), 1);
  EXPECT_LT(vae_peak_bytes(config, DType::kF32, 17, 720, 1280), uint64_t{4} << 30);
}

TEST(VaeWorkspaceBytes, at_720p_are_a_block_of_256_channels_two_of_128_and_a_band) {
  const VideoVaeConfig config = parse_vae_config(published(), "config.json");
  const uint64_t pixels = 720 * 1280, band = uint64_t{8} << 20;
  uint64_t bytes = 0;
  for (const uint64_t buffer :
       vae_buffer_bytes(spatial_decoder(config.spatial, DType::kBF16), {1, 90, 160})) {
    bytes += buffer;
  }
  EXPECT_LE(bytes, pixels * (256 + 128 + 128) * 2 + band);
}

}  // namespace
}  // namespace engine
