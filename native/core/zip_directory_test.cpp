// Zip archives made by hand, so that every field can lie.
#include "core/zip_directory.h"

#include "core/test_support.h"

namespace engine {
namespace {

constexpr auto kBad = ErrorCode::kInvalidCheckpoint;
using namespace std::string_literals;

struct EntryFields {
  std::string name = "root/data.pkl";
  std::string local_name = "root/data.pkl";
  uint16_t flags = 0;
  uint16_t method = 0;
  uint32_t bytes = 5;
  uint32_t local_header = 0;
  std::string extra = "";
};

std::string local_header(const EntryFields& entry) {
  return "PK\3\4"s + std::string(22, '\0') +
         bytes_of(static_cast<uint16_t>(entry.local_name.size())) + bytes_of(uint16_t{0}) +
         entry.local_name;
}

std::string central_header(const EntryFields& entry) {
  return "PK\1\2"s + std::string(4, '\0') + bytes_of(entry.flags) + bytes_of(entry.method) +
         std::string(8, '\0') + bytes_of(entry.bytes) + bytes_of(entry.bytes) +
         bytes_of(static_cast<uint16_t>(entry.name.size())) +
         bytes_of(static_cast<uint16_t>(entry.extra.size())) + std::string(10, '\0') +
         bytes_of(entry.local_header) + entry.name + entry.extra;
}

std::string end_record(uint16_t entries, uint32_t begin, const std::string& comment = "") {
  return "PK\5\6"s + std::string(4, '\0') + bytes_of(entries) + bytes_of(entries) +
         bytes_of(uint32_t{0}) + bytes_of(begin) + bytes_of(static_cast<uint16_t>(comment.size())) +
         comment;
}

std::string end64_record(uint64_t entries, uint64_t begin, uint64_t record_at) {
  return "PK\6\6"s + std::string(28, '\0') + bytes_of(entries) + bytes_of(uint64_t{0}) +
         bytes_of(begin) + "PK\6\7"s + std::string(4, '\0') + bytes_of(record_at) +
         std::string(4, '\0');
}

// One entry with the content "hello".
std::string archive(const EntryFields& entry, const std::string& comment = "") {
  const std::string data = local_header(entry) + "hello";
  return data + central_header(entry) + end_record(1, static_cast<uint32_t>(data.size()), comment);
}

ZipDirectory read(const std::string& bytes) {
  return read_zip_directory(std::as_bytes(std::span(bytes)), "file");
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

testing::AssertionResult refuses(const std::string& bytes, const std::string& text,
                                 ErrorCode code = kBad) {
  return fails([&] { read(bytes); }, code, text);
}

TEST(ZipDirectoryTest, FindsStoredEntries) {
  const std::string plain = archive({});
  EXPECT_EQ(text_of(read(plain).at("root/data.pkl")), "hello");
  const std::string commented = archive({}, "PK\5\6 a comment");
  EXPECT_EQ(text_of(read(commented).at("root/data.pkl")), "hello");
}

TEST(ZipDirectoryTest, ReadsZip64) {
  EntryFields entry;
  const std::string data = local_header(entry) + "hello";
  entry.bytes = 0xffffffff;
  entry.local_header = 0xffffffff;
  entry.extra = bytes_of(uint16_t{7}) + bytes_of(uint16_t{1}) + "x" + bytes_of(uint16_t{1}) +
                bytes_of(uint16_t{24}) + bytes_of(uint64_t{5}) + bytes_of(uint64_t{5}) +
                bytes_of(uint64_t{0});
  const std::string central = data + central_header(entry);
  const std::string whole =
      central + end64_record(1, data.size(), central.size()) + end_record(0xffff, 0xffffffff);
  EXPECT_EQ(text_of(read(whole).at("root/data.pkl")), "hello");
  const std::string far =
      central + end64_record(1, data.size(), uint64_t{1} << 60) + end_record(0xffff, 0xffffffff);
  EXPECT_TRUE(refuses(far, "outside the file"));
  const std::string many = central + end64_record(UINT64_MAX, data.size(), central.size()) +
                           end_record(0xffff, 0xffffffff);
  EXPECT_TRUE(refuses(many, "damaged directory"));
}

TEST(ZipDirectoryTest, RefusesWhatIsCutShort) {
  const std::string whole = archive({});
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    EXPECT_TRUE(refuses(whole.substr(0, bytes), "file: the zip archive")) << bytes;
  }
}

TEST(ZipDirectoryTest, RefusesOffsetsAndSizesThatLie) {
  EXPECT_TRUE(refuses(archive({.bytes = 5000}), "cut short"));
  EXPECT_TRUE(refuses(archive({.bytes = 0xffffffff}), "cut short"));
  EXPECT_TRUE(refuses(archive({.local_header = 5000}), "outside the file"));
  EXPECT_TRUE(refuses(archive({.local_header = 1}), "no entry where"));
  const std::string data = local_header({}) + "hello" + central_header({});
  EXPECT_TRUE(refuses(data + end_record(1, 0xfffffff0), "outside the file"));
  EXPECT_TRUE(refuses(data + end_record(1, 3), "damaged directory"));
  EXPECT_TRUE(refuses(data + end_record(2, static_cast<uint32_t>(local_header({}).size() + 5)),
                      "damaged directory"));
}

TEST(ZipDirectoryTest, RefusesNamesThatDiffer) {
  EXPECT_TRUE(refuses(archive({.local_name = "other"}), "otherwise"));
}

TEST(ZipDirectoryTest, RefusesADoubledName) {
  const std::string data = local_header({}) + "hello";
  EXPECT_TRUE(refuses(data + central_header({}) + central_header({}) +
                          end_record(2, static_cast<uint32_t>(data.size())),
                      "twice"));
}

TEST(ZipDirectoryTest, RefusesCompressedAndEncryptedEntries) {
  EXPECT_TRUE(refuses(archive({.method = 8}), "compressed", ErrorCode::kUnsupported));
  EXPECT_TRUE(refuses(archive({.flags = 1}), "encrypted", ErrorCode::kUnsupported));
}

TEST(ZipDirectoryTest, RefusesADamagedExtraField) {
  EXPECT_TRUE(refuses(archive({.extra = bytes_of(uint16_t{1}) + bytes_of(uint16_t{99})}),
                      "damaged extra field"));
}

}  // namespace
}  // namespace engine
