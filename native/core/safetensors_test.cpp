// Reading .safetensors: what is right, and the ways in which a header may lie.
#include "core/checkpoint.h"
#include "core/test_support.h"

namespace engine {
namespace {

constexpr auto kBad = ErrorCode::kInvalidCheckpoint;

std::string container(const std::string& header, const std::string& data) {
  return bytes_of(uint64_t{header.size()}) + header + data;
}

class SafetensorsTest : public testing::Test {
 protected:
  std::unique_ptr<TensorFile> open(const std::string& bytes) {
    return open_safetensors(folder_.write("model.safetensors", bytes));
  }
  // Opening a file with this header and so many bytes of data must fail.
  testing::AssertionResult refuses(const std::string& header, size_t data_bytes,
                                   const std::string& text, ErrorCode code = kBad) {
    return fails([&] { open(container(header, std::string(data_bytes, '\1'))); }, code, text);
  }
  TemporaryFolder folder_;
};

TEST_F(SafetensorsTest, GivesViewsOfEveryType) {
  const auto file =
      open(container(R"({"__metadata__": {"format": "pt"},)"
                     R"("b": {"dtype": "I32", "shape": [2], "data_offsets": [8, 16]},)"
                     R"("a": {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]},)"
                     R"("c": {"dtype": "BOOL", "shape": [], "data_offsets": [16, 17]},)"
                     R"("d": {"dtype": "F16", "shape": [0, 5], "data_offsets": [17, 17]}}  )",
                     bytes_of(1.5f) + bytes_of(-2.0f) + bytes_of(7) + bytes_of(-8) + "\1"));
  EXPECT_EQ(file->names(), (std::vector<std::string>{"a", "b", "c", "d"}));
  EXPECT_EQ(elements_of<float>(file->find("a")), (std::vector<float>{1.5f, -2.0f}));
  EXPECT_EQ(file->find("a").shape(), Shape({1, 2}));
  EXPECT_EQ(elements_of<int32_t>(file->find("b")), (std::vector<int32_t>{7, -8}));
  EXPECT_EQ(file->find("c").dtype(), DType::kU8);
  EXPECT_EQ(file->find("c").shape(), Shape());
  EXPECT_FALSE(file->find("d").empty());
  EXPECT_EQ(file->find("d").elements(), 0);
  EXPECT_TRUE(file->find("none").empty());
}

TEST_F(SafetensorsTest, CopiesDataAtAnOddAddress) {
  const std::string header = R"({"a": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}})";
  for (size_t padding = 0; padding < 8; ++padding) {
    const auto file = open(container(header + std::string(padding, ' '), bytes_of(0.25)));
    const ConstTensorView view = file->find("a");
    EXPECT_EQ(reinterpret_cast<uintptr_t>(view.data()) % 8, 0u);
    EXPECT_EQ(*static_cast<const double*>(view.data()), 0.25);
  }
}

TEST_F(SafetensorsTest, RefusesAFileThatIsCutShort) {
  const std::string whole =
      container(R"({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}})", "12345678");
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    EXPECT_TRUE(fails([&] { open(whole.substr(0, bytes)); }, kBad, "model.safetensors")) << bytes;
  }
  EXPECT_NE(open(whole), nullptr);
}

TEST_F(SafetensorsTest, RefusesALyingHeaderLength) {
  const std::string rest = R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}1234)";
  for (const uint64_t length : {uint64_t{0}, uint64_t{1}, uint64_t{10}, uint64_t{rest.size() + 1},
                                uint64_t{1} << 40, UINT64_MAX, UINT64_MAX - 7}) {
    EXPECT_TRUE(fails([&] { open(bytes_of(length) + rest); }, kBad, "header")) << length;
  }
}

TEST_F(SafetensorsTest, RefusesAHeaderThatIsNoStrictJson) {
  EXPECT_TRUE(refuses("[]", 0, "not a JSON object"));
  EXPECT_TRUE(refuses(" {}", 0, "not a JSON object"));
  EXPECT_TRUE(refuses("{} x", 0, "parse error"));
  EXPECT_TRUE(refuses(R"({"a": 3})", 0, "not described by an object"));
  EXPECT_TRUE(refuses(R"({"__metadata__": {"a": 1}})", 0, "__metadata__"));
  EXPECT_TRUE(refuses(R"({"a": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]},)"
                      R"("a": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}})",
                      4, "\"a\" stands twice"));
  EXPECT_TRUE(refuses("{\"a\": " + std::string(100000, '['), 0, "deeper"));
}

TEST_F(SafetensorsTest, RefusesOffsetsOutsideOfTheData) {
  const auto with_offsets = [](const std::string& offsets) {
    return R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": )" + offsets + "}}";
  };
  for (const char* offsets :
       {"[0, 5]", "[4, 0]", "[4, 8]", "[-4, 0]", "[0, 4.0]", "[0]", "[0, 4, 4]", "null",
        "[0, 18446744073709551615]", "[18446744073709551612, 0]",
        "[9223372036854775807, 9223372036854775807]", "[0, 1e30]"}) {
    EXPECT_TRUE(refuses(with_offsets(offsets), 4, "tensor \"a\"")) << offsets;
  }
}

TEST_F(SafetensorsTest, RefusesAShapeThatDoesNotMakeItsBytes) {
  const auto with_shape = [](const std::string& shape) {
    return R"({"a": {"dtype": "F32", "data_offsets": [0, 4], "shape": )" + shape + "}}";
  };
  for (const char* shape :
       {"[2]", "[0]", "[-1]", "[1.0]", "null", "[[1]]", "[1, 1, 1, 1, 1, 1, 1]",
        "[4611686018427387905]", "[4294967296, 4294967296]", "[9223372036854775808]",
        "[9223372036854775807, 9223372036854775807, 0]", "[\"1\"]"}) {
    EXPECT_TRUE(refuses(with_shape(shape), 4, "tensor \"a\"")) << shape;
  }
}

TEST_F(SafetensorsTest, RefusesUnknownTypes) {
  EXPECT_TRUE(refuses(R"({"a": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}})", 4,
                      "\"F8_E4M3\" is not read", ErrorCode::kUnsupported));
  EXPECT_TRUE(refuses(R"({"a": {"dtype": 7, "shape": [4], "data_offsets": [0, 4]}})", 4, "dtype"));
  EXPECT_TRUE(refuses(R"({"a": {"shape": [4], "data_offsets": [0, 4]}})", 4, "dtype"));
}

TEST_F(SafetensorsTest, RefusesOverlapsAndHoles) {
  const auto two = [](const std::string& a, const std::string& b) {
    return R"({"a": {"dtype": "U8", "shape": [4], "data_offsets": )" + a +
           R"(}, "b": {"dtype": "U8", "shape": [4], "data_offsets": )" + b + "}}";
  };
  EXPECT_TRUE(refuses(two("[0, 4]", "[3, 7]"), 7, "overlaps"));
  EXPECT_TRUE(refuses(two("[0, 4]", "[0, 4]"), 4, "overlaps"));
  EXPECT_TRUE(refuses(two("[0, 4]", "[5, 9]"), 9, "hole"));
  EXPECT_TRUE(refuses(two("[1, 5]", "[5, 9]"), 9, "hole"));
  EXPECT_TRUE(refuses(two("[4, 8]", "[0, 4]"), 9, "last 1 bytes"));
  EXPECT_NE(open(container(two("[4, 8]", "[0, 4]"), "12345678")), nullptr);
}

TEST_F(SafetensorsTest, KeepsHostileNamesOutOfMessages) {
  EXPECT_TRUE(refuses(R"({"a\n\u001b[31m": 3})", 0, "\"a\\x0a\\x1b[31m\""));
}

TEST_F(SafetensorsTest, SaysWhatIsNotThereOrNoFile) {
  EXPECT_TRUE(fails([&] { open_safetensors(folder_.path() / "none.safetensors"); },
                    ErrorCode::kNotFound, "none.safetensors"));
  EXPECT_TRUE(
      fails([&] { open_safetensors(folder_.path()); }, ErrorCode::kIo, "not a regular file"));
  EXPECT_TRUE(fails([&] { open_safetensors("/dev/zero"); }, ErrorCode::kIo, "/dev/zero"));
}

}  // namespace
}  // namespace engine
