// Folders of tiny random image models in their published layouts.
#pragma once

#include <fstream>
#include <string>

#include "models/pixart/layout_test_support.h"
#include "pipeline/test_support.h"

namespace engine {

namespace fs = std::filesystem;

inline const fs::path kModels = fs::path(TOCAFARM_TEST_DATA) / "models";  // NOLINT: read-only

// A model folder of links to the golden cases' parts.
class ImageModelFolder {
 public:
  explicit ImageModelFolder(const std::string& family) {
    link("transformer", family + "-tiny");
    link("vae", "image-vae-tiny");
    if (family == "dit") {
      folder_.write("model_index.json", R"({"id2label": {"3": "ox, bull", "7": "cow"}})");
      return;
    }
    link("text_encoder", "t5-tiny");
    link("tokenizer", "t5-tiny");
  }
  const fs::path& path() const { return folder_.path(); }

  // Of a PixArt: diffusers' layout in the place of the original one.
  void make_diffusers() {
    const fs::path folder = folder_.path() / "transformer";
    fs::remove(folder);
    fs::create_directory(folder);
    std::ofstream(folder / "config.json") << R"({"_class_name": "Transformer2DModel",
      "norm_type": "ada_norm_single", "num_attention_heads": 1, "attention_head_dim": 72,
      "num_layers": 3, "sample_size": 16, "caption_channels": 64, "model_max_length": 24,
      "out_channels": 8})";
    const Checkpoint source = Checkpoint::open(kModels / "pixart-tiny");
    write_safetensors(folder / "diffusion_pytorch_model.safetensors",
                      diffusers_pixart(source, 3).tensors());
  }

 private:
  void link(const char* part, const std::string& target) {
    fs::create_directory_symlink(kModels / target, folder_.path() / part);
  }
  TemporaryFolder folder_;
};

}  // namespace engine
