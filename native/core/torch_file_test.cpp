// Files that torch.save wrote (testdata/README.md), and pickles by hand that describe tensors which
// cannot be.
#include <array>

#include "core/checkpoint.h"
#include "core/test_support.h"
#include "core/torch_containers.h"

namespace engine {
namespace {

constexpr auto kBad = ErrorCode::kInvalidCheckpoint;
using namespace std::string_literals;

std::unique_ptr<TensorFile> open_fixture(const std::string& name) {
  return open_pickle(std::filesystem::path(TOCAFARM_CORE_TEST_DATA) / name);
}

template <typename Element>
std::vector<Element> numbers(const TensorFile& file, const std::string& name) {
  return elements_of<Element>(file.find(name));
}

std::string fixture_bytes(const std::string& name) {
  return read_text(std::filesystem::path(TOCAFARM_CORE_TEST_DATA) / name);
}

// Reads from the heap, where the address sanitizer sees a byte too far, and touches every tensor.
void read_all(const std::string& bytes) {
  const std::vector<char> exact(bytes.begin(), bytes.end());
  const auto content = std::as_bytes(std::span(exact));
  TensorTable table;
  if (is_torch_zip(content)) {
    read_torch_zip(table, content, "file");
  } else {
    read_torch_legacy(table, content, "file");
  }
  for (const std::string& name : table.names()) {
    const ConstTensorView view = table.find(name);
    const std::string copy(static_cast<const char*>(view.data()), view.bytes());
    EXPECT_EQ(copy.size(), view.bytes());
  }
}

class PlainTorchFileTest : public testing::TestWithParam<const char*> {};

TEST_P(PlainTorchFileTest, GivesEveryTensor) {
  const auto file = open_fixture(GetParam());
  EXPECT_EQ(file->names().size(), 15u);
  EXPECT_EQ(file->find("weight").shape(), Shape({2, 3}));
  EXPECT_EQ(numbers<float>(*file, "weight"), (std::vector<float>{-1, -0.5f, 0, 0.5f, 1, 1.5f}));
  EXPECT_EQ(numbers<uint16_t>(*file, "half"), (std::vector<uint16_t>{0x3c00, 0xc100, 0x7bff}));
  EXPECT_EQ(file->find("half").dtype(), DType::kF16);
  EXPECT_EQ(numbers<uint16_t>(*file, "brain"), (std::vector<uint16_t>{0x3f80, 0xc020, 0x7f62}));
  EXPECT_EQ(file->find("brain").dtype(), DType::kBF16);
  EXPECT_EQ(numbers<double>(*file, "double"), (std::vector<double>{0.1, -0.2}));
  EXPECT_EQ(numbers<int64_t>(*file, "long"), (std::vector<int64_t>{-1, int64_t{1} << 40}));
  EXPECT_EQ(numbers<int32_t>(*file, "int"), (std::vector<int32_t>{-7, 7}));
  EXPECT_EQ(numbers<uint8_t>(*file, "byte"), (std::vector<uint8_t>{0, 255}));
  EXPECT_EQ(numbers<uint8_t>(*file, "flags"), (std::vector<uint8_t>{1, 0}));
  EXPECT_EQ(numbers<float>(*file, "parameter"), (std::vector<float>{1, 1}));
  EXPECT_EQ(file->find("scalar").shape(), Shape());
  EXPECT_EQ(numbers<float>(*file, "scalar"), std::vector<float>{3.5f});
  EXPECT_EQ(file->find("empty").shape(), Shape({0, 4}));
}

TEST_P(PlainTorchFileTest, MakesStridedTensorsDense) {
  const auto file = open_fixture(GetParam());
  EXPECT_EQ(file->find("transposed").shape(), Shape({3, 2}));
  EXPECT_EQ(numbers<float>(*file, "transposed"), (std::vector<float>{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(numbers<float>(*file, "every_second"), (std::vector<float>{2, 4, 6}));
  EXPECT_EQ(numbers<float>(*file, "base").size(), 10u);
  const Tensor permuted = to_f32(file->find("permuted"));
  EXPECT_EQ(permuted.shape(), Shape({4, 2, 3}));
  for (int i = 0; i < 24; ++i) {
    EXPECT_EQ(permuted.f32()[i], static_cast<float>(i / 6 + 12 * (i / 3 % 2) + 4 * (i % 3)));
  }
}

TEST_P(PlainTorchFileTest, AlignsEveryTensor) {
  const auto file = open_fixture(GetParam());
  for (const std::string& name : file->names()) {
    const ConstTensorView view = file->find(name);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(view.data()) % dtype_bytes(view.dtype()), 0u) << name;
  }
}

TEST_P(PlainTorchFileTest, RefusesEveryCut) {
  const std::string whole = fixture_bytes(GetParam());
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    ASSERT_TRUE(fails([&] { read_all(whole.substr(0, bytes)); }, kBad, "file")) << bytes;
  }
}

// Whatever byte is damaged: an Error or other tensors, never a read outside of the file.
TEST_P(PlainTorchFileTest, SurvivesEveryFlippedByte) {
  const std::string whole = fixture_bytes(GetParam());
  size_t refused = 0;
  constexpr std::array<int, 3> kFlips{0x01, 0x80, 0xff};
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ kFlips[at % kFlips.size()]);
    try {
      read_all(damaged);
    } catch (const Error& error) {
      ASSERT_NE(error.code(), ErrorCode::kInternal) << error.what();
      ++refused;
    }
  }
  EXPECT_GT(refused, whole.size() / 10);
}

INSTANTIATE_TEST_SUITE_P(Layouts, PlainTorchFileTest,
                         testing::Values("plain_zip.pt", "plain_zip_protocol4.pt",
                                         "plain_legacy.bin"),
                         [](const auto& info) {
                           const std::string name = info.param;
                           return name.substr(0, name.find('.'));
                         });

TEST(TorchFileTest, UnwrapsAStateDict) {
  for (const char* name : {"wrapped.pth", "wrapped_legacy.pth"}) {
    const auto file = open_fixture(name);
    EXPECT_EQ(file->names(), (std::vector<std::string>{"bias", "weight"}));
    EXPECT_EQ(numbers<float>(*file, "weight"), (std::vector<float>{1, 2}));
    EXPECT_EQ(numbers<float>(*file, "bias"), std::vector<float>{3});
  }
}

TEST(TorchFileTest, PrefersTheAveragedWeightsOfATrainingCheckpoint) {
  const auto file = open_fixture("training.pt");
  EXPECT_EQ(numbers<float>(*file, "weight"), (std::vector<float>{11, 12}));
}

TEST(TorchFileTest, RefusesAWholeModel) {
  EXPECT_TRUE(fails([] { open_fixture("whole_module.pt"); }, kBad, "save its state_dict"));
}

TEST(TorchFileTest, RefusesWhatIsNoTorchFile) {
  const TemporaryFolder folder;
  for (const char* bytes : {"", "x", "\x80\x02}.", "PK"}) {
    const auto file = folder.write("model.bin", bytes);
    EXPECT_TRUE(fails([&] { open_pickle(file); }, kBad, "model.bin: begins neither")) << bytes;
  }
}

// The legacy layout around a hand-written pickle, with the storage "0" of `elements` floats.
class HandmadeTorchFileTest : public testing::Test {
 protected:
  static std::string storage(const std::string& type = "FloatStorage", int elements = 4,
                             const std::string& view = "N") {
    return "(U\7storagectorch\n" + type + "\nU\1" + "0U\3cpuJ" + bytes_of(elements) + view + "tQ";
  }
  // A dict with one tensor "a"; sizes and strides are pickled tuples.
  static std::string tensor(const std::string& storage, int offset, const std::string& sizes,
                            const std::string& strides) {
    return "}U\1actorch._utils\n_rebuild_tensor_v2\n(" + storage + "J" + bytes_of(offset) + sizes +
           strides + "\x89NtRs.";
  }
  static std::string number(int64_t value) { return "\x8a\x08" + bytes_of(value); }

  std::unique_ptr<TensorFile> open(const std::string& pickle, uint64_t elements = 4) {
    const std::string magic = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."s;
    const std::string data = bytes_of(1.0f) + bytes_of(2.0f) + bytes_of(3.0f) + bytes_of(4.0f);
    return open_pickle(folder_.write(
        "hand.bin", magic + "M\xe9\3.}." + pickle + "]U\1" + "0a." + bytes_of(elements) + data));
  }
  testing::AssertionResult refuses(const std::string& pickle, const std::string& text,
                                   ErrorCode code = kBad) {
    return fails([&] { open(pickle); }, code, text);
  }
  TemporaryFolder folder_;
};

TEST_F(HandmadeTorchFileTest, ReadsASliceWithTorchSize) {
  const std::string size = "ctorch\nSize\nK\2\x85\x85R";
  const auto file = open(tensor(storage(), 1, size, "K\2\x85"));
  EXPECT_EQ(numbers<float>(*file, "a"), (std::vector<float>{2, 4}));
}

TEST_F(HandmadeTorchFileTest, ReadsAViewOfAStorage) {
  const std::string part = storage("FloatStorage", 4, "U\1vK\1K\3\x87");
  EXPECT_EQ(numbers<float>(*open(tensor(part, 0, "K\3\x85", "K\1\x85")), "a"),
            (std::vector<float>{2, 3, 4}));
  EXPECT_TRUE(refuses(tensor(part, 1, "K\3\x85", "K\1\x85"), "reaches out"));
  const std::string beyond = storage("FloatStorage", 4, "U\1vK\2K\3\x87");
  EXPECT_TRUE(refuses(tensor(beyond, 0, "K\1\x85", "K\1\x85"), "storage"));
}

TEST_F(HandmadeTorchFileTest, RefusesTensorsThatReachOutOfTheirStorage) {
  const auto sized = [](int offset, int64_t length, int64_t stride) {
    return tensor(storage(), offset, number(length) + "\x85", number(stride) + "\x85");
  };
  EXPECT_NE(open(sized(0, 4, 1)), nullptr);
  EXPECT_TRUE(refuses(sized(1, 4, 1), "reaches out"));
  EXPECT_TRUE(refuses(sized(0, 5, 1), "reaches out"));
  EXPECT_TRUE(refuses(sized(0, 3, 2), "reaches out"));
  EXPECT_TRUE(refuses(sized(0, INT64_MAX, 1), "reaches out"));
  EXPECT_TRUE(refuses(sized(0, 2, INT64_MAX), "reaches out"));
  EXPECT_TRUE(refuses(sized(5, 0, 1), "reaches out"));
  EXPECT_TRUE(refuses(sized(-1, 1, 1), "no offset"));
  EXPECT_TRUE(refuses(sized(0, -1, 1), "no sizes"));
  EXPECT_TRUE(refuses(sized(0, 1, -1), "no sizes"));
}

TEST_F(HandmadeTorchFileTest, RefusesATinyFileThatUnpacksToGigabytes) {
  for (const int power : {20, 40, 62}) {  // 2^62 floats are 0 bytes in 64-bit arithmetic
    const std::string length = number(int64_t{1} << power) + "\x85";
    EXPECT_TRUE(refuses(tensor(storage(), 0, length, "K\0\x85"s), "repeats its storage"));
  }
}

TEST_F(HandmadeTorchFileTest, RefusesStoragesThatLie) {
  const std::string sizes = "K\1\x85";
  EXPECT_TRUE(refuses(tensor(storage("FloatStorage", 5), 0, sizes, sizes), "only 16 bytes"));
  EXPECT_TRUE(refuses(tensor(storage("FloatStorage", -1), 0, sizes, sizes), "storage"));
  EXPECT_TRUE(refuses(tensor(storage("NoStorage"), 0, sizes, sizes), "storage"));
  EXPECT_TRUE(refuses(tensor(storage("ShortStorage"), 0, sizes, sizes), "torch.ShortStorage",
                      ErrorCode::kUnsupported));
  EXPECT_TRUE(refuses(tensor("K\1", 0, sizes, sizes), "list"));
  const std::string good = tensor(storage(), 0, sizes, sizes);
  for (const uint64_t elements : {uint64_t{5}, uint64_t{1} << 62, UINT64_MAX}) {
    EXPECT_TRUE(fails([&] { open(good, elements); }, kBad, "hand.bin")) << elements;
  }
}

TEST_F(HandmadeTorchFileTest, RefusesOddDescriptions) {
  const std::string sizes = "K\1\x85";
  EXPECT_TRUE(refuses(tensor(storage(), 0, "K\1K\1\x86", sizes), "strides"));
  EXPECT_TRUE(refuses(tensor(storage(), 0, "U\1x", sizes), "strides"));
  EXPECT_TRUE(refuses(tensor(storage(), 0, "(K\1K\1K\1K\1K\1K\1K\1t", "(K\1K\1K\1K\1K\1K\1K\1t"),
                      "7 dimensions"));
  EXPECT_TRUE(refuses("}U\1actorch._utils\n_rebuild_tensor_v2\n(" + storage() + "tRs.", "too few"));
}

TEST_F(HandmadeTorchFileTest, PassesOverUnknownObjectsBesideTensors) {
  const std::string sizes = "K\1\x85";
  const std::string pickle = "}(U\1bcmy.thing\nMaker\nK\1\x85RU\1cctorch\ndevice\nU\3cpu\x85Ru" +
                             tensor(storage(), 0, sizes, sizes).substr(1);
  EXPECT_EQ(open(pickle)->names(), std::vector<std::string>{"a"});
}

TEST_F(HandmadeTorchFileTest, RefusesAnAttackBesideTensors) {
  const std::string sizes = "K\1\x85";
  const std::string pickle =
      "}(U\1bcos\nsystem\nU\4true\x85Ru" + tensor(storage(), 0, sizes, sizes).substr(1);
  EXPECT_TRUE(refuses(pickle, "hand.bin: the pickle wants to use \"os.system\""));
}

TEST_F(HandmadeTorchFileTest, RefusesAWrapperThatContainsItself) {
  EXPECT_TRUE(refuses("}q\1U\5modelh\1s.", "storage"));
}

TEST_F(HandmadeTorchFileTest, TheLastOfEqualKeysCounts) {
  const std::string sizes = "K\1\x85";
  const std::string first = tensor(storage(), 0, sizes, sizes);
  const std::string second = tensor(storage(), 2, sizes, sizes);
  const auto file = open(first.substr(0, first.size() - 1) + second.substr(1));
  EXPECT_EQ(numbers<float>(*file, "a"), std::vector<float>{3});
}

}  // namespace
}  // namespace engine
