// Writes a STDiT3 of any size with random weights in the published layout: for measuring speed and
// memory where no trained model of that size is at hand. Its pictures are noise.
//
//   random_stdit3 OUTPUT [--hidden 1152] [--heads 16] [--depth 2] [--caption-channels 4096]
//   [--text-tokens 300]
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "bench/random_tensors.h"
#include "core/json.h"
#include "engine/error.h"

namespace engine {
namespace {

struct Sizes {
  int64_t hidden = 1152, heads = 16, depth = 2, caption_channels = 4096, text_tokens = 300;
};

using bench::RandomTensors;

void add_block(RandomTensors& tensors, const std::string& prefix, const Sizes& sizes) {
  const int64_t c = sizes.hidden, d = sizes.hidden / sizes.heads;
  tensors.normal(prefix + ".scale_shift_table", {6, c}, 0.2);
  tensors.linear(prefix + ".attn.qkv", 3 * c, c);
  tensors.linear(prefix + ".attn.proj", c, c);
  tensors.ones(prefix + ".attn.q_norm.weight", {d});
  tensors.ones(prefix + ".attn.k_norm.weight", {d});
  tensors.linear(prefix + ".cross_attn.q_linear", c, c);
  tensors.linear(prefix + ".cross_attn.kv_linear", 2 * c, c);
  tensors.linear(prefix + ".cross_attn.proj", c, c);
  tensors.linear(prefix + ".mlp.fc1", 4 * c, c);
  tensors.linear(prefix + ".mlp.fc2", c, 4 * c);
}

RandomTensors make_tensors(const Sizes& sizes) {
  const int64_t c = sizes.hidden;
  RandomTensors tensors;
  tensors.normal("x_embedder.proj.weight", {c, 4, 1, 2, 2}, 0.25);
  tensors.normal("x_embedder.proj.bias", {c}, 0.02);
  for (const std::string embedder : {"t_embedder", "fps_embedder"}) {
    tensors.linear(embedder + ".mlp.0", c, 256);
    tensors.linear(embedder + ".mlp.2", c, c);
  }
  tensors.linear("t_block.1", 6 * c, c);
  tensors.linear("y_embedder.y_proj.fc1", c, sizes.caption_channels);
  tensors.linear("y_embedder.y_proj.fc2", c, c);
  tensors.normal("y_embedder.y_embedding", {sizes.text_tokens, sizes.caption_channels}, 0.2);
  for (int64_t layer = 0; layer < sizes.depth; ++layer) {
    add_block(tensors, "spatial_blocks." + std::to_string(layer), sizes);
    add_block(tensors, "temporal_blocks." + std::to_string(layer), sizes);
  }
  tensors.normal("final_layer.scale_shift_table", {2, c}, 0.2);
  tensors.linear("final_layer.linear", 32, c);
  return tensors;
}

void write_config(const std::filesystem::path& file, const Sizes& sizes) {
  const Json config{{"architectures", {"STDiT3"}},
                    {"model_type", "STDiT3"},
                    {"hidden_size", sizes.hidden},
                    {"num_heads", sizes.heads},
                    {"depth", sizes.depth},
                    {"mlp_ratio", 4.0},
                    {"caption_channels", sizes.caption_channels},
                    {"model_max_length", sizes.text_tokens},
                    {"in_channels", 4},
                    {"input_size", {nullptr, nullptr, nullptr}},
                    {"input_sq_size", 512},
                    {"patch_size", {1, 2, 2}},
                    {"pred_sigma", true},
                    {"qk_norm", true},
                    {"torch_dtype", "float16"}};
  std::ofstream(file) << config.dump(2) << "\n";
}

int run(const std::vector<std::string>& arguments) {
  if (arguments.empty()) {
    throw Error(ErrorCode::kInvalidArgument, "name the output folder");
  }
  Sizes sizes;
  for (size_t i = 1; i + 1 < arguments.size(); i += 2) {
    const std::string& flag = arguments[i];
    const int64_t value = std::stoll(arguments[i + 1]);
    if (flag == "--hidden")
      sizes.hidden = value;
    else if (flag == "--heads")
      sizes.heads = value;
    else if (flag == "--depth")
      sizes.depth = value;
    else if (flag == "--caption-channels")
      sizes.caption_channels = value;
    else if (flag == "--text-tokens")
      sizes.text_tokens = value;
    else
      throw Error(ErrorCode::kInvalidArgument, "flag " + flag + " is unknown");
  }
  const std::filesystem::path folder = arguments[0];
  std::filesystem::create_directories(folder);
  make_tensors(sizes).write(folder / "model.safetensors");
  write_config(folder / "config.json", sizes);
  return 0;
}

}  // namespace
}  // namespace engine

int main(int argc, char** argv) {
  try {
    return engine::run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << "random_stdit3: " << error.what() << "\n";
    return 2;
  }
}
