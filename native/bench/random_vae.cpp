// Writes the decoder of the Open-Sora v1.2 video VAE, of its published size, with random weights in
// the published layout: for measuring speed and memory where the trained one is not at hand.
//
//   random_vae OUTPUT
#include <filesystem>
#include <fstream>
#include <iostream>

#include "bench/random_tensors.h"
#include "core/json.h"
#include "engine/error.h"
#include "models/video_vae/network.h"

namespace engine {
namespace {

void add_attention(bench::RandomTensors& tensors, const std::string& name, int64_t channels) {
  for (const char* linear : {".to_q", ".to_k", ".to_v", ".to_out.0"})
    tensors.linear(name + linear, channels, channels);
}

void add_norm(bench::RandomTensors& tensors, const std::string& name, int64_t channels) {
  tensors.ones(name + ".weight", {channels});
  tensors.normal(name + ".bias", {channels}, 0.02);
}

void add_conv(bench::RandomTensors& tensors, const VaeLayer& layer) {
  const auto& [t, h, w] = layer.kernel;
  const Shape shape =
      layer.flat ? Shape{layer.out, layer.in, h, w} : Shape{layer.out, layer.in, t, h, w};
  tensors.layer(layer.name, shape, layer.in * t * h * w, layer.has_bias);
}

void add_network(bench::RandomTensors& tensors, const VaeNetwork& network) {
  for (const VaeLayer& layer : network.layers) {
    if (layer.kind == VaeLayerKind::kConv) add_conv(tensors, layer);
    if (!layer.norm.empty()) add_norm(tensors, layer.norm, layer.in);
    if (layer.kind == VaeLayerKind::kGroupNorm) add_norm(tensors, layer.name, layer.in);
    if (layer.kind == VaeLayerKind::kAttention) add_attention(tensors, layer.name, layer.in);
  }
}

// The sizes themselves are what the published file leaves out: they are the parser's defaults.
Json config_of(const VideoVaeConfig& config) {
  return {{"architectures", {"VideoAutoencoderPipeline"}},
          {"model_type", "VideoAutoencoderPipeline"},
          {"micro_frame_size", config.micro_frame_size},
          {"scale", config.scale},
          {"shift", config.shift},
          {"vae_2d",
           {{"type", "VideoAutoencoderKL"},
            {"from_pretrained", "PixArt-alpha/pixart_sigma_sdxlvae_T5_diffusers"},
            {"subfolder", "vae"},
            {"micro_batch_size", config.micro_batch_size}}},
          {"vae_temporal", {{"type", "VAE_Temporal_SD"}, {"from_pretrained", nullptr}}}};
}

void write(const std::filesystem::path& folder) {
  const VideoVaeConfig config;
  bench::RandomTensors tensors;
  add_network(tensors, spatial_decoder(config.spatial, DType::kF32));
  add_network(tensors, temporal_decoder(config.temporal, DType::kF32));
  std::filesystem::create_directories(folder);
  tensors.write(folder / "model.safetensors");
  std::ofstream(folder / "config.json") << config_of(config).dump(2) << "\n";
}

}  // namespace
}  // namespace engine

int main(int argc, char** argv) {
  try {
    if (argc != 2) {
      throw engine::Error(engine::ErrorCode::kInvalidArgument, "name the output folder alone");
    }
    engine::write(argv[1]);
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "random_vae: " << error.what() << "\n";
    return 2;
  }
}
