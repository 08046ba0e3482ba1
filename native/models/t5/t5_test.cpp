// The encoder against the reference's numbers, and what it says to bad configs, weights and ids.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "engine/error.h"
#include "models/t5/model.h"

namespace engine {
namespace {

const std::filesystem::path kGolden = TOCAFARM_TEST_DATA;
const std::filesystem::path kTiny = kGolden / "models" / "t5-tiny";
const std::filesystem::path kDemo = TOCAFARM_DEMO_MODEL;

double largest_difference(const float* found, const float* expected, int64_t count) {
  double largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(found[i]) - expected[i]));
  }
  return largest;
}

Tensor mask_of(ConstTensorView mask) {
  Tensor result(mask.shape(), DType::kU8);
  for (int64_t i = 0; i < mask.elements(); ++i) {
    result.view().u8()[i] = mask.i32()[i] != 0 ? 1 : 0;
  }
  return result;
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

Json tiny_config() {
  return read_json_file(kTiny / "config.json");
}

TEST(T5, gives_the_hidden_states_of_the_reference) {
  const auto backend = make_plain_backend();
  const T5Encoder encoder = T5Encoder::load(*backend, kTiny);
  const auto data = open_safetensors(kGolden / "t5-encoder" / "data.safetensors");
  for (const std::string prefix : {"", "long."}) {
    const Tensor mask = mask_of(data->find(prefix + "attention_mask"));
    const Tensor hidden = encoder.encode(data->find(prefix + "ids"), mask);
    const ConstTensorView expected = data->find(prefix + "ref.hidden");
    ASSERT_EQ(hidden.shape(), expected.shape());
    EXPECT_LT(largest_difference(hidden.f32(), expected.f32(), expected.elements()), 7e-5);
  }
}

TEST(T5, reads_half_precision_weights_of_the_demo_model) {
  const auto backend = make_plain_backend();
  const T5Encoder encoder = T5Encoder::load(*backend, kDemo / "text_encoder");
  const auto data =
      open_safetensors(kDemo.parent_path() / "demo-reference" / "red-circle" / "data.safetensors");
  const Tensor hidden = encoder.encode(data->find("ids"), mask_of(data->find("attention_mask")));
  const ConstTensorView expected = data->find("ref.text_hidden");
  ASSERT_EQ(hidden.shape(), expected.shape());
  EXPECT_LT(largest_difference(hidden.f32(), expected.f32(), expected.elements()), 1e-4);
}

TEST(T5, computes_a_row_of_a_batch_as_it_does_alone) {
  const auto backend = make_plain_backend();
  const T5Encoder encoder = T5Encoder::load(*backend, kTiny);
  const auto data = open_safetensors(kGolden / "t5-encoder" / "data.safetensors");
  const ConstTensorView ids = data->find("ids");
  const Tensor mask = mask_of(data->find("attention_mask"));
  const Tensor batch = encoder.encode(ids.rows(0, 3), mask.view().rows(0, 3));
  const Tensor alone = encoder.encode(ids.rows(2, 1), mask.view().rows(2, 1));
  EXPECT_EQ(largest_difference(batch.view().rows(2, 1).f32(), alone.f32(), alone.elements()), 0);
}

// bf16 keeps 8 bits: rounding moves a number by at most 2^-9 of itself. Rounded are the embedding
// and in each block the weights of seven linear layers and the four tensors that they read. Two of
// these, the outputs of the norms, make both factors of a product (query and key, gate and value),
// which moves twice as far and so adds four times the noise: with 7 + 2 + 2 · 4 = 17 a block, as
// independent noise, sqrt(1 + 17 · blocks) · 2^-9 of the signal.
double bf16_noise_max(const T5Config& config) {
  return std::sqrt(1.0 + 17.0 * static_cast<double>(config.num_layers)) * 0x1p-9;
}

TEST(T5, encodes_in_bf16_as_near_to_the_reference_as_its_roundings_allow) {
  const auto backend = make_plain_backend();
  const auto data = open_safetensors(kGolden / "t5-encoder" / "data.safetensors");
  const Tensor mask = mask_of(data->find("attention_mask"));
  const T5Encoder encoder = T5Encoder::load(*backend, kTiny, DType::kBF16);
  const Tensor hidden = encoder.encode(data->find("ids"), mask);
  const ConstTensorView expected = data->find("ref.hidden");
  double signal = 0, noise = 0;
  for (int64_t i = 0; i < expected.elements(); ++i) {
    const double reference = expected.f32()[i];
    signal += reference * reference;
    noise += std::pow(static_cast<double>(hidden.f32()[i]) - reference, 2);
  }
  const double relative = std::sqrt(noise / signal);
  EXPECT_LT(relative, bf16_noise_max(encoder.config()));
  EXPECT_GT(relative, 1e-4) << "this was fp32";
}

TEST(T5, puts_distances_into_buckets_as_published) {
  EXPECT_EQ(t5_relative_bucket(0, 32, 128), 0);
  EXPECT_EQ(t5_relative_bucket(-7, 32, 128), 7);
  EXPECT_EQ(t5_relative_bucket(7, 32, 128), 23);
  EXPECT_EQ(t5_relative_bucket(-8, 32, 128), 8);
  EXPECT_EQ(t5_relative_bucket(-11, 32, 128), 8);
  EXPECT_EQ(t5_relative_bucket(-12, 32, 128), 9);
  EXPECT_EQ(t5_relative_bucket(-127, 32, 128), 15);
  EXPECT_EQ(t5_relative_bucket(5000, 32, 128), 31);
}

TEST(T5, stops_between_layers_when_it_is_cancelled) {
  const auto backend = make_plain_backend();
  const T5Encoder encoder = T5Encoder::load(*backend, kTiny);
  const Tensor ids({1, 2}, DType::kI32);
  const Tensor mask({1, 2}, DType::kU8);
  std::fill_n(ids.view().i32(), 2, 1);
  std::fill_n(mask.view().u8(), 2, uint8_t{1});
  int layers = 0;
  T5Hooks hooks;
  hooks.cancelled = [&] { return layers == 2; };
  hooks.after_block = [&](int64_t, ConstTensorView) { ++layers; };
  const Error error = error_of([&] { encoder.encode(ids, mask, hooks); });
  EXPECT_EQ(error.code(), ErrorCode::kCancelled);
  EXPECT_EQ(layers, 2);
}

TEST(T5, refuses_an_id_outside_of_its_embedding) {
  const auto backend = make_plain_backend();
  const T5Encoder encoder = T5Encoder::load(*backend, kTiny);
  for (const int32_t id : {-1, 544}) {
    const Tensor ids({1, 1}, DType::kI32);
    const Tensor mask({1, 1}, DType::kU8);
    ids.view().i32()[0] = id;
    mask.view().u8()[0] = 1;
    const Error error = error_of([&] { encoder.encode(ids, mask); });
    EXPECT_EQ(error.code(), ErrorCode::kInvalidCheckpoint);
    EXPECT_NE(std::string(error.what()).find(std::to_string(id)), std::string::npos);
  }
}

TEST(T5Config, names_the_field_that_is_missing_or_absurd) {
  for (const char* field : {"d_model", "d_kv", "d_ff", "num_heads", "num_layers", "vocab_size"}) {
    for (const Json& value : {Json(nullptr), Json("64"), Json(0), Json(int64_t{1} << 40)}) {
      Json json = tiny_config();
      json[field] = value;
      const Error error = error_of([&] { parse_t5_config(json, "t5/config.json"); });
      EXPECT_EQ(error.code(), ErrorCode::kInvalidCheckpoint) << field;
      EXPECT_NE(std::string(error.what()).find(field), std::string::npos) << error.what();
    }
  }
}

TEST(T5Config, refuses_a_t5_that_is_not_gated) {
  Json json = tiny_config();
  json["feed_forward_proj"] = "relu";
  EXPECT_EQ(error_of([&] { parse_t5_config(json, "config.json"); }).code(),
            ErrorCode::kUnsupported);
}

TEST(T5Config, counts_the_bytes_of_the_published_encoder) {
  Json json = tiny_config();
  json.update({{"d_model", 4096},
               {"d_kv", 64},
               {"d_ff", 10240},
               {"num_heads", 64},
               {"num_layers", 24},
               {"vocab_size", 32128}});
  const T5Config config = parse_t5_config(json, "config.json");
  // 4.76 billion parameters (open-sora-formats.md, 10).
  EXPECT_NEAR(static_cast<double>(t5_weights_bytes(config, DType::kF32)) / 4, 4.76e9, 0.01e9);
  EXPECT_NEAR(static_cast<double>(t5_weights_bytes(config, DType::kBF16)) / 2, 4.76e9, 0.01e9);
  EXPECT_LT(t5_workspace_bytes(config, DType::kF32, 1, 300), uint64_t{200} << 20);
}

// A folder with the tiny config and other tensors.
class BrokenT5 : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() /
              ("tocafarm-t5-" + std::to_string(testing::UnitTest::GetInstance()->random_seed()) +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(folder_);
    std::filesystem::copy_file(kTiny / "config.json", folder_ / "config.json",
                               std::filesystem::copy_options::overwrite_existing);
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
  Error load_error() const {
    const auto backend = make_plain_backend();
    return error_of([&] { T5Encoder::load(*backend, folder_); });
  }

  std::filesystem::path folder_;
};

TEST_F(BrokenT5, is_loaded_from_either_name_of_the_embedding) {
  save_weights([](NamedTensor& tensor) { return tensor.name != "shared.weight"; });
  const auto backend = make_plain_backend();
  EXPECT_NO_THROW(T5Encoder::load(*backend, folder_));
}

TEST_F(BrokenT5, names_a_missing_tensor) {
  const std::string missing = "encoder.block.1.layer.1.DenseReluDense.wo.weight";
  save_weights([&](NamedTensor& tensor) { return tensor.name != missing; });
  EXPECT_NE(std::string(load_error().what()).find(missing), std::string::npos);
}

TEST_F(BrokenT5, names_a_tensor_of_the_wrong_shape) {
  const std::string wrong = "encoder.block.2.layer.0.SelfAttention.o.weight";
  save_weights([&](NamedTensor& tensor) {
    if (tensor.name == wrong) tensor.tensor = tensor.tensor.rows(0, 63);
    return true;
  });
  const Error error = load_error();
  EXPECT_EQ(error.code(), ErrorCode::kInvalidCheckpoint);
  EXPECT_NE(std::string(error.what()).find(wrong), std::string::npos);
  EXPECT_NE(std::string(error.what()).find("[63, 64]"), std::string::npos) << error.what();
}

TEST_F(BrokenT5, names_a_tensor_that_holds_integers) {
  const std::string wrong = "encoder.block.0.layer.0.SelfAttention.q.weight";
  const Tensor integers({64, 64}, DType::kI32);
  std::fill_n(integers.view().i32(), integers.elements(), 1);
  save_weights([&](NamedTensor& tensor) {
    if (tensor.name == wrong) tensor.tensor = integers;
    return true;
  });
  const Error error = load_error();
  EXPECT_EQ(error.code(), ErrorCode::kInvalidCheckpoint);
  EXPECT_NE(std::string(error.what()).find(wrong), std::string::npos) << error.what();
}

TEST_F(BrokenT5, refuses_an_embedding_smaller_than_the_vocabulary) {
  save_weights([](NamedTensor& tensor) {
    if (tensor.name == "shared.weight") tensor.tensor = tensor.tensor.rows(0, 500);
    return true;
  });
  EXPECT_EQ(load_error().code(), ErrorCode::kInvalidCheckpoint);
}

}  // namespace
}  // namespace engine
