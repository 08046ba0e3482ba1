// Writing .safetensors: what is written is read again, and a failure leaves nothing behind.
#include <sys/stat.h>

#include "core/checkpoint.h"
#include "core/test_support.h"

namespace engine {
namespace {

TEST(SafetensorsWriterTest, WhatIsWrittenIsReadAgain) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "out.safetensors";
  const float floats[] = {1, 2, 3, 4, 5, 6};
  const uint8_t bytes[] = {9, 8, 7};
  const int64_t longs[] = {-1};
  write_safetensors(file, {{"z.weight", {floats, DType::kF32, {2, 3}}},
                           {"b", {bytes, DType::kU8, {3}}},
                           {"c", {longs, DType::kI64, {}}},
                           {"empty", {floats, DType::kBF16, {0, 2}}}});
  EXPECT_EQ(folder.files(), 1u);
  const auto read = open_safetensors(file);
  EXPECT_EQ(read->names(), (std::vector<std::string>{"b", "c", "empty", "z.weight"}));
  EXPECT_EQ(elements_of<float>(read->find("z.weight")), (std::vector<float>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(read->find("z.weight").shape(), Shape({2, 3}));
  EXPECT_EQ(elements_of<uint8_t>(read->find("b")), (std::vector<uint8_t>{9, 8, 7}));
  EXPECT_EQ(elements_of<int64_t>(read->find("c")), (std::vector<int64_t>{-1}));
  EXPECT_EQ(read->find("empty").dtype(), DType::kBF16);
}

TEST(SafetensorsWriterTest, MetadataIsWrittenBesideTheTensors) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "out.safetensors";
  const float value = 1;
  const std::vector<NamedTensor> tensors{{"a", {&value, DType::kF32, {1}}}};
  write_safetensors(file, tensors, {{"step", "6"}, {"quote", "\"\n"}});
  const auto read = open_safetensors(file);
  EXPECT_EQ(read->metadata(), (TensorMetadata{{"step", "6"}, {"quote", "\"\n"}}));
  EXPECT_EQ(read->names(), std::vector<std::string>{"a"});
  EXPECT_TRUE(fails(
      [&] {
        write_safetensors(file, tensors, {{"a", "\xff"}});
      },
      ErrorCode::kInvalidArgument, "UTF-8"));
  write_safetensors(file, tensors);
  EXPECT_TRUE(open_safetensors(file)->metadata().empty());
}

TEST(SafetensorsWriterTest, TheOrderOfTheListDoesNotChangeTheFile) {
  const TemporaryFolder folder;
  const float value = 1;
  const NamedTensor a{"a", {&value, DType::kF32, {1}}};
  const NamedTensor b{"b", {&value, DType::kF32, {}}};
  write_safetensors(folder.path() / "1", {a, b});
  write_safetensors(folder.path() / "2", {b, a});
  EXPECT_EQ(read_text(folder.path() / "1"), read_text(folder.path() / "2"));
}

TEST(SafetensorsWriterTest, ReplacesAFileWhole) {
  const TemporaryFolder folder;
  const auto file = folder.write("out.safetensors", "older");
  const float value = 1;
  write_safetensors(file, {{"a", {&value, DType::kF32, {1}}}});
  EXPECT_EQ(elements_of<float>(open_safetensors(file)->find("a")), std::vector<float>{1});
}

TEST(SafetensorsWriterTest, AFullDiskLeavesTheOldFileAndNoPart) {
  const TemporaryFolder folder;
  const auto file = folder.write("out.safetensors", "older");
  const Tensor big({1 << 16}, DType::kF32);
  std::fill_n(big.f32(), big.elements(), 0.0f);
  {
    const FileSizeLimit limit(4096);
    EXPECT_TRUE(fails(
        [&] {
          write_safetensors(file, {{"a", big}});
        },
        ErrorCode::kIo, "out.safetensors.part: File too large"));
  }
  EXPECT_EQ(folder.files(), 1u);
  EXPECT_EQ(read_text(file), "older");
}

TEST(SafetensorsWriterTest, SaysWhereItCannotWrite) {
  const TemporaryFolder folder;
  const float value = 1;
  const std::vector<NamedTensor> tensors{{"a", {&value, DType::kF32, {1}}}};
  EXPECT_TRUE(fails([&] { write_safetensors(folder.path() / "none" / "out", tensors); },
                    ErrorCode::kNotFound, "none/out"));
  EXPECT_TRUE(
      fails([&] { write_safetensors("/proc/out", tensors); }, ErrorCode::kNotFound, "/proc/out"));
  // The name is that of a folder: only the rename fails, and takes the part with it.
  std::filesystem::create_directory(folder.path() / "taken");
  EXPECT_TRUE(
      fails([&] { write_safetensors(folder.path() / "taken", tensors); }, ErrorCode::kIo, "taken"));
  EXPECT_EQ(folder.files(), 1u);
}

TEST(SafetensorsWriterTest, RefusesNamesThatTheFormatCannotHold) {
  const TemporaryFolder folder;
  const float value = 1;
  const ConstTensorView view(&value, DType::kF32, {1});
  const auto write = [&](const std::vector<NamedTensor>& tensors) {
    return [&folder, tensors] { write_safetensors(folder.path() / "out", tensors); };
  };
  constexpr auto kCode = ErrorCode::kInvalidArgument;
  EXPECT_TRUE(fails(write({{"a", view}, {"a", view}}), kCode, "two tensors \"a\""));
  EXPECT_TRUE(fails(write({{"__metadata__", view}}), kCode, "__metadata__"));
  EXPECT_TRUE(fails(write({{"\xff", view}}), kCode, "UTF-8"));
  EXPECT_EQ(folder.files(), 0u);
}

}  // namespace
}  // namespace engine
