// The 2D half of the tiny golden VAE as a VAE of its own, against the reference's pictures, and
// what it refuses.
#include "models/image_vae/model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "engine/error.h"

namespace engine {
namespace {

namespace fs = std::filesystem;

const fs::path kGolden = TOCAFARM_TEST_DATA;        // NOLINT: read-only
const std::string kPrefix = "spatial_vae.module.";  // NOLINT: read-only

std::unique_ptr<Backend> make_backend() {
#ifdef TOCAFARM_HAS_CPU
  return make_cpu_backend({.threads = 1, .isa = ""});
#else
  return make_plain_backend();
#endif
}

Json published() {
  return Json::parse(R"({"_class_name": "AutoencoderKL", "act_fn": "silu",
    "block_out_channels": [128, 256, 512, 512], "down_block_types": ["DownEncoderBlock2D",
    "DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"], "in_channels": 3,
    "latent_channels": 4, "layers_per_block": 2, "norm_num_groups": 32, "out_channels": 3,
    "sample_size": 256, "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D",
    "UpDecoderBlock2D", "UpDecoderBlock2D"]})");
}

ErrorCode code_of(const Json& json) {
  try {
    parse_image_vae_config(json, "config.json");
  } catch (const Error& error) {
    return error.code();
  }
  return ErrorCode::kInternal;
}

TEST(ImageVaeConfig, ReadsThePublishedOne) {
  const ImageVaeConfig config = parse_image_vae_config(published(), "config.json");
  EXPECT_EQ(config.network.factor(), 8);
  EXPECT_EQ(config.scaling_factor, 0.18215);
  // The decoder of stabilityai/sd-vae-ft-ema, with its 1x1 convolution: 49,490,199 parameters.
  // 16 numbers are kept for 9: behind a doubled picture, and in tiles (16 convolutions of 512 to
  // 512 channels, five of 256 to 256 and of 128 to 128, and the two between).
  constexpr uint64_t kDoubled = 2 * 512 * 512 + 256 * 256;
  constexpr uint64_t kTiled =
      16 * 512 * 512 + 512 * 256 + 5 * 256 * 256 + 256 * 128 + 5 * 128 * 128;
  EXPECT_EQ(image_vae_weights_bytes(config, DType::kF32),
            4u * (49490199 + 7 * (kDoubled + kTiled)));
  EXPECT_GT(image_vae_peak_bytes(config, DType::kF32, 512, 512),
            image_vae_peak_bytes(config, DType::kF32, 256, 256));
}

TEST(ImageVaeConfig, RefusesWhatItWouldDecodeWrongly) {
  Json json = published();
  json["_class_name"] = "AutoencoderTiny";
  EXPECT_EQ(code_of(json), ErrorCode::kUnsupported);
  json = published();
  json["shift_factor"] = 0.1;
  EXPECT_EQ(code_of(json), ErrorCode::kUnsupported);
  json = published();
  json["scaling_factor"] = 0.0;
  EXPECT_EQ(code_of(json), ErrorCode::kInvalidCheckpoint);
  EXPECT_EQ(code_of(Json::array()), ErrorCode::kInvalidCheckpoint);
}

// Of the tiny video VAE's checkpoint, under the names of an image VAE.
class ImageVaeTest : public testing::Test {
 protected:
  ImageVaeTest()
      : backend_(make_backend()),
        source_(Checkpoint::open(kGolden / "models" / "vae-tiny")),
        file_(fs::temp_directory_path() /
              ("tocafarm-image-vae-" +
               std::string(testing::UnitTest::GetInstance()->current_test_info()->name()) +
               ".safetensors")) {
    const Json json = read_json_file(kGolden / "models" / "vae-tiny" / "config.json");
    config_ = parse_image_vae_config(json.at("vae_2d").at("module_config"), "config.json");
    config_.scaling_factor = kSpatialScalingFactor;  // the video VAE ignores the one in its config
  }
  ~ImageVaeTest() override { fs::remove(file_); }

  ImageVae load(const std::string& without = "", DType compute = DType::kF32) {
    std::vector<NamedTensor> tensors;
    for (const std::string& name : source_.names()) {
      if (!name.starts_with(kPrefix) || name == kPrefix + without) continue;
      tensors.push_back({name.substr(kPrefix.size()), source_.get(name)});
    }
    write_safetensors(file_, tensors);
    return ImageVae::load(*backend_, Checkpoint::open(file_), config_, compute);
  }

  std::unique_ptr<Backend> backend_;
  Checkpoint source_;
  ImageVaeConfig config_;
  fs::path file_;
};

TEST_F(ImageVaeTest, DecodesTheReferencesLatents) {
  const auto data = open_safetensors(kGolden / "vae-decode" / "data.safetensors");
  const ConstTensorView x_z = data->find("dec1.ref.x_z");        // [1, C, 1, h, w]
  const ConstTensorView frames = data->find("dec1.ref.frames");  // [1, 3, 1, H, W]
  ImageVae vae = load();
  const int64_t pixels = frames.dim(3) * frames.dim(4);
  double worst = 0;
  VaeHooks hooks;
  hooks.tap = [&](std::string_view name, ConstTensorView value) {
    if (name != "frames") return;
    ASSERT_EQ(value.elements(), 3 * pixels);
    for (int64_t i = 0; i < 3 * pixels; ++i) {
      const double expected = frames.f32()[i % 3 * pixels + i / 3];
      worst = std::max(worst, std::abs(static_cast<double>(value.f32()[i]) - expected));
    }
  };
  int pictures = 0;
  vae.decode(
      x_z,
      [&](int64_t first, ConstTensorView rgb8) {
        EXPECT_EQ(first, pictures++);
        EXPECT_EQ(rgb8.shape(), (Shape{1, frames.dim(3), frames.dim(4), 3}));
      },
      hooks);
  EXPECT_EQ(pictures, 1);
  EXPECT_LT(worst, 1e-4);
}

TEST_F(ImageVaeTest, DecodesAPictureOfABatchAsAlone) {
  Tensor latents({2, config_.network.latent_channels, 1, 3, 4}, DType::kF32);
  for (int64_t i = 0; i < latents.elements(); ++i) {
    latents.f32()[i] = 0.1f * static_cast<float>(i % 7);
  }
  ImageVae vae = load();
  std::vector<std::vector<uint8_t>> pictures;
  const VaeFrameSink keep = [&](int64_t, ConstTensorView rgb8) {
    pictures.emplace_back(rgb8.u8(), rgb8.u8() + rgb8.elements());
  };
  vae.decode(latents, keep);
  vae.decode(latents.view().rows(1, 1), keep);
  ASSERT_EQ(pictures.size(), 3u);
  EXPECT_EQ(pictures[1], pictures[2]);
}

TEST_F(ImageVaeTest, StopsBetweenPicturesWhenCancelled) {
  Tensor latents({2, config_.network.latent_channels, 1, 3, 4}, DType::kF32);
  std::memset(latents.f32(), 0, latents.bytes());
  ImageVae vae = load();
  int pictures = 0;
  VaeHooks hooks;
  hooks.cancelled = [&] { return pictures == 1; };
  EXPECT_THROW(vae.decode(
                   latents, [&](int64_t, ConstTensorView) { ++pictures; }, hooks),
               Error);
  EXPECT_EQ(pictures, 1);
}

TEST_F(ImageVaeTest, NamesATensorThatIsMissing) {
  try {
    load("decoder.conv_in.weight");
    FAIL() << "it was loaded";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("\"decoder.conv_in.weight\""), std::string::npos);
  }
}

}  // namespace
}  // namespace engine
