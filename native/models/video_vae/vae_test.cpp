// Decoding and encoding against the reference's numbers, and their promises: groups change no bit,
// cancelling stops between them, bad weights are named.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "engine/error.h"
#include "models/video_vae/model.h"

namespace engine {
namespace {

const std::filesystem::path kGolden = TOCAFARM_TEST_DATA;
const std::filesystem::path kTiny = kGolden / "models" / "vae-tiny";
const std::filesystem::path kDemo = TOCAFARM_DEMO_MODEL;

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

// A clip put together from a decode's batches, [F, H, W, 3].
std::vector<uint8_t> decode(VideoVae& vae, ConstTensorView latent, int64_t frames) {
  const Shape shape{latent.dim(1), latent.dim(2), latent.dim(3), latent.dim(4)};
  std::vector<uint8_t> clip;
  vae.decode(latent.reshaped(shape), frames, [&](int64_t first, ConstTensorView rgb8) {
    EXPECT_EQ(first * rgb8.dim(1) * rgb8.dim(2) * 3, static_cast<int64_t>(clip.size()));
    clip.insert(clip.end(), rgb8.u8(), rgb8.u8() + rgb8.elements());
  });
  return clip;
}

// [1, 3, F, H, W] to [F, H, W, 3].
template <class Value>
std::vector<Value> interleaved(const Value* planes, const Shape& shape) {
  const int64_t pixels = shape[2] * shape[3] * shape[4];
  std::vector<Value> result(static_cast<size_t>(3 * pixels));
  for (int64_t i = 0; i < 3 * pixels; ++i) {
    result[static_cast<size_t>(i % pixels * 3 + i / pixels)] = planes[i];
  }
  return result;
}

double psnr_db(const std::vector<uint8_t>& found, const std::vector<uint8_t>& expected) {
  double squares = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    const double difference = static_cast<double>(found[i]) - expected[i];
    squares += difference * difference;
  }
  if (squares == 0) return HUGE_VAL;
  return 10 * std::log10(255.0 * 255.0 * static_cast<double>(found.size()) / squares);
}

// The plain backend's loops are slow at the demo's size: there it decodes the first batch alone.
#ifdef TOCAFARM_HAS_CPU
constexpr int64_t kDemoFrames = 17;
std::unique_ptr<Backend> make_demo_backend() {
  return make_cpu_backend({});
}
#else
constexpr int64_t kDemoFrames = 4;
std::unique_ptr<Backend> make_demo_backend() {
  return make_plain_backend();
}
#endif

TEST(VideoVae, draws_the_demo_clip_of_the_reference) {
  const auto backend = make_demo_backend();
  VideoVae vae = VideoVae::load(*backend, kDemo / "vae", DType::kF32);
  const auto data =
      open_safetensors(kDemo.parent_path() / "demo-reference" / "red-circle" / "data.safetensors");
  const ConstTensorView latent = data->find("full.ref.latent");
  const ConstTensorView expected = data->find("full.ref.frames_u8");
  std::vector<uint8_t> frames;
  int64_t seen = 0;
  VaeHooks hooks;
  hooks.cancelled = [&] { return seen >= kDemoFrames; };
  const auto take = [&](int64_t first, ConstTensorView rgb8) {
    frames.insert(frames.end(), rgb8.u8(), rgb8.u8() + rgb8.elements());
    seen = first + rgb8.dim(0);
  };
  const Shape shape{latent.dim(1), latent.dim(2), latent.dim(3), latent.dim(4)};
  try {
    vae.decode(latent.reshaped(shape), 17, take, hooks);
  } catch (const Error& error) {
    ASSERT_EQ(error.code(), ErrorCode::kCancelled) << error.what();
  }
  ASSERT_EQ(seen, kDemoFrames);
  std::vector<uint8_t> reference = interleaved(expected.u8(), expected.shape());
  reference.resize(frames.size());
  EXPECT_GT(psnr_db(frames, reference), 70);
}

TEST(VideoVae, decodes_every_length_to_the_frames_of_the_reference) {
  const auto backend = make_plain_backend();
  VideoVae vae = VideoVae::load(*backend, kTiny, DType::kF32);
  const auto data = open_safetensors(kGolden / "vae-decode" / "data.safetensors");
  for (const int64_t frames : {1, 17, 22}) {
    const std::string prefix = "dec" + std::to_string(frames) + ".";
    const ConstTensorView expected = data->find(prefix + "ref.frames");
    Tensor rgb8({frames, expected.dim(3), expected.dim(4), 3}, DType::kU8);
    const std::vector<float> values = interleaved(expected.f32(), expected.shape());
    backend->frames_to_rgb8(
        {.input = ConstTensorView(values.data(), DType::kF32, rgb8.shape()), .output = rgb8});
    const std::vector<uint8_t> reference(rgb8.view().u8(), rgb8.view().u8() + rgb8.elements());
    const std::vector<uint8_t> found = decode(vae, data->find(prefix + "z"), frames);
    ASSERT_EQ(found.size(), reference.size());
    EXPECT_GT(psnr_db(found, reference), 70) << frames;
  }
}

// Results that a network writes in bf16: a convolution's normed input is one of its own.
size_t roundings(const VaeNetwork& network) {
  size_t count = 0;
  for (const VaeLayer& layer : network.layers) count += layer.norm.empty() ? 1 : 2;
  return count;
}

// bf16 keeps 8 bits: rounding moves a number by at most 2^-9 of itself. Each layer rounds its
// weights and its output; as independent noise that adds up to sqrt(2 · roundings) · 2^-9 of the
// signal.
double bf16_noise_max(const VideoVaeConfig& config) {
  const size_t count = roundings(spatial_decoder(config.spatial, DType::kBF16)) +
                       roundings(temporal_decoder(config.temporal, DType::kBF16));
  return std::sqrt(2.0 * static_cast<double>(count)) * 0x1p-9;
}

TEST(VideoVae, decodes_in_bf16_as_near_to_the_reference_as_its_roundings_allow) {
  const auto data = open_safetensors(kGolden / "vae-decode" / "data.safetensors");
  const ConstTensorView z = data->find("dec17.z"), frames = data->find("dec17.ref.frames");
  const std::vector<float> expected = interleaved(frames.f32(), frames.shape());
  for (const auto& backend : {make_plain_backend(), make_demo_backend()}) {
    VideoVae vae = VideoVae::load(*backend, kTiny, DType::kBF16);
    double signal = 0, noise = 0;
    size_t seen = 0;
    VaeHooks hooks;
    hooks.tap = [&](std::string_view name, ConstTensorView value) {
      if (name != "frames") return;
      for (int64_t i = 0; i < value.elements(); ++i) {
        const double reference = static_cast<double>(expected[seen++]);
        signal += reference * reference;
        noise += std::pow(static_cast<double>(value.f32()[i]) - reference, 2);
      }
    };
    vae.decode(
        z.reshaped({z.dim(1), z.dim(2), z.dim(3), z.dim(4)}), 17, [](int64_t, ConstTensorView) {},
        hooks);
    ASSERT_EQ(seen, expected.size());
    const double relative = std::sqrt(noise / signal);
    EXPECT_LT(relative, bf16_noise_max(vae.config()));
    EXPECT_GT(relative, 1e-4) << "this was fp32";
  }
}

TEST(VideoVae, gives_the_same_bits_whatever_the_size_of_a_micro_batch) {
  const auto data = open_safetensors(kGolden / "vae-decode" / "data.safetensors");
  VideoVaeConfig config = read_vae_config(kTiny);
  for (const auto& backend : {make_plain_backend(), make_demo_backend()}) {
    for (const DType compute : {DType::kF32, DType::kBF16}) {
      std::vector<std::vector<uint8_t>> clips;
      for (const int64_t batch : {1, 4, 17}) {
        config.micro_batch_size = batch;
        VideoVae vae = VideoVae::load(*backend, kTiny, config, compute, VaeParts::kDecoder);
        clips.push_back(decode(vae, data->find("dec22.z"), 22));
      }
      EXPECT_EQ(clips[0], clips[1]);
      EXPECT_EQ(clips[0], clips[2]);
    }
  }
}

TEST(VideoVae, decodes_again_after_its_workspace_was_released) {
  const auto backend = make_plain_backend();
  const auto data = open_safetensors(kGolden / "vae-decode" / "data.safetensors");
  VideoVae vae = VideoVae::load(*backend, kTiny, DType::kF32);
  const std::vector<uint8_t> first = decode(vae, data->find("dec1.z"), 1);
  decode(vae, data->find("dec22.z"), 22);
  vae.release_workspace();
  EXPECT_EQ(decode(vae, data->find("dec1.z"), 1), first);
}

TEST(VideoVae, encodes_frames_to_the_latent_of_the_reference) {
  const auto backend = make_plain_backend();
  VideoVae vae = VideoVae::load(*backend, kTiny, DType::kF32, VaeParts::kDecoderAndEncoder);
  const auto data = open_safetensors(kGolden / "vae-encode" / "data.safetensors");
  const ConstTensorView x = data->find("enc22.x");
  const std::vector<float> values = interleaved(x.f32(), x.shape());
  const ConstTensorView frames(values.data(), DType::kF32, {22, x.dim(3), x.dim(4), 3});
  const ConstTensorView noise = data->find("enc22.noise_temporal");
  const Tensor mode = vae.encode(frames);
  const Tensor sample = vae.encode(
      frames,
      {.spatial = data->find("enc22.noise_spatial"),
       .temporal = noise.reshaped({noise.dim(1), noise.dim(2), noise.dim(3), noise.dim(4)})});
  const ConstTensorView expected_mode = data->find("enc22.ref.mode.z");
  const ConstTensorView expected_sample = data->find("enc22.ref.sample.z");
  ASSERT_EQ(mode.elements(), expected_mode.elements());
  for (int64_t i = 0; i < mode.elements(); ++i) {
    ASSERT_NEAR(mode.f32()[i], expected_mode.f32()[i], 3e-5) << i;
    ASSERT_NEAR(sample.f32()[i], expected_sample.f32()[i], 3e-5) << i;
  }
}

TEST(VideoVae, takes_8_bit_frames_as_minus_one_to_one) {
  const auto backend = make_plain_backend();
  VideoVae vae = VideoVae::load(*backend, kTiny, DType::kF32, VaeParts::kDecoderAndEncoder);
  const Tensor bytes({1, 8, 16, 3}, DType::kU8);
  const Tensor floats({1, 8, 16, 3}, DType::kF32);
  for (int64_t i = 0; i < bytes.elements(); ++i) {
    bytes.view().u8()[i] = static_cast<uint8_t>(i * 37);
    floats.f32()[i] = (static_cast<float>(bytes.view().u8()[i]) / 255.0f - 0.5f) / 0.5f;
  }
  const Tensor from_bytes = vae.encode(bytes);
  const Tensor from_floats = vae.encode(floats);
  EXPECT_EQ(std::memcmp(from_bytes.f32(), from_floats.f32(), from_floats.bytes()), 0);
}

TEST(VideoVae, refuses_to_encode_frames_smaller_than_a_latent_pixel) {
  const auto backend = make_plain_backend();
  VideoVae vae = VideoVae::load(*backend, kTiny, DType::kF32, VaeParts::kDecoderAndEncoder);
  const Tensor frames({1, 7, 16, 3}, DType::kU8);
  EXPECT_EQ(error_of([&] { vae.encode(frames); }).code(), ErrorCode::kInvalidArgument);
}

TEST(VideoVae, stops_between_groups_of_frames_when_it_is_cancelled) {
  const auto backend = make_plain_backend();
  VideoVae vae = VideoVae::load(*backend, kTiny, DType::kF32, VaeParts::kDecoderAndEncoder);
  const auto data = open_safetensors(kGolden / "vae-decode" / "data.safetensors");
  const ConstTensorView z = data->find("dec51.z");
  int64_t frames_seen = 0;
  VaeHooks hooks;
  hooks.cancelled = [&] { return frames_seen >= 8; };
  const Error decode_error = error_of([&] {
    vae.decode(
        z.reshaped({z.dim(1), z.dim(2), z.dim(3), z.dim(4)}), 51,
        [&](int64_t, ConstTensorView rgb8) { frames_seen += rgb8.dim(0); }, hooks);
  });
  EXPECT_EQ(decode_error.code(), ErrorCode::kCancelled);
  EXPECT_EQ(frames_seen, 8);
  const Tensor frames({1, 8, 8, 3}, DType::kU8);
  std::memset(frames.view().data(), 0, frames.bytes());
  EXPECT_EQ(error_of([&] { vae.encode(frames, {}, hooks); }).code(), ErrorCode::kCancelled);
}

// A folder with the tiny config and other tensors.
class OtherVae : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() /
              (std::string("tocafarm-vae-") +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    std::filesystem::copy_file(kTiny / "config.json", folder_ / "config.json");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void save_weights(const std::function<bool(NamedTensor&)>& keep) const {
    const Checkpoint checkpoint = Checkpoint::open(kTiny);
    std::vector<NamedTensor> tensors;
    for (const std::string& name : checkpoint.names()) {
      NamedTensor tensor{name, checkpoint.get(name)};
      if (keep(tensor)) tensors.push_back(tensor);
    }
    write_safetensors(folder_ / "model.safetensors", tensors);
  }

  std::filesystem::path folder_;
};

TEST_F(OtherVae, may_name_its_attention_as_older_diffusers_did) {
  save_weights([](NamedTensor& tensor) {
    for (const auto& [name, older] :
         {std::pair{"to_q", "query"}, std::pair{"to_k", "key"}, std::pair{"to_v", "value"},
          std::pair{"to_out.0", "proj_attn"}}) {
      const size_t at = tensor.name.find(std::string(".") + name + ".");
      if (at != std::string::npos) tensor.name.replace(at + 1, std::strlen(name), older);
    }
    return true;
  });
  const auto backend = make_plain_backend();
  const auto data = open_safetensors(kGolden / "vae-decode" / "data.safetensors");
  VideoVae older = VideoVae::load(*backend, folder_, DType::kF32);
  VideoVae today = VideoVae::load(*backend, kTiny, DType::kF32);
  EXPECT_EQ(decode(older, data->find("dec1.z"), 1), decode(today, data->find("dec1.z"), 1));
}

TEST_F(OtherVae, needs_no_encoder_weights_to_decode) {
  save_weights([](NamedTensor& tensor) {
    return tensor.name.find("encoder.") == std::string::npos &&
           tensor.name.find(".quant_conv") == std::string::npos;
  });
  const auto backend = make_plain_backend();
  EXPECT_NO_THROW(VideoVae::load(*backend, folder_, DType::kF32));
  EXPECT_NE(error_of([&] {
              VideoVae::load(*backend, folder_, DType::kF32, VaeParts::kDecoderAndEncoder);
            }).code(),
            ErrorCode::kInternal);
}

TEST_F(OtherVae, takes_scale_and_shift_from_the_config_when_the_weights_have_none) {
  save_weights(
      [](NamedTensor& tensor) { return tensor.name != "scale" && tensor.name != "shift"; });
  const auto backend = make_plain_backend();
  EXPECT_FLOAT_EQ(VideoVae::load(*backend, folder_, DType::kF32).config().scale[0], 3.85f);
}

TEST_F(OtherVae, names_a_tensor_of_the_wrong_shape) {
  const std::string wrong = "temporal_vae.decoder.conv_blocks.1.conv.weight";
  save_weights([&](NamedTensor& tensor) {
    if (tensor.name == wrong) tensor.tensor = tensor.tensor.rows(0, 16);
    return true;
  });
  const auto backend = make_plain_backend();
  const Error error = error_of([&] { VideoVae::load(*backend, folder_, DType::kF32); });
  EXPECT_EQ(error.code(), ErrorCode::kInvalidCheckpoint);
  EXPECT_NE(std::string(error.what()).find(wrong), std::string::npos) << error.what();
}

}  // namespace
}  // namespace engine
