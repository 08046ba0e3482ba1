// Read from the end, as the format wants it: end record, central directory, and for each entry the
// local header that stands before its bytes.
#include "core/zip_directory.h"

#include <algorithm>
#include <optional>

#include "core/byte_cursor.h"
#include "core/quote.h"

namespace engine {
namespace {

constexpr uint32_t kEndSignature = 0x06054b50;
constexpr uint32_t kEnd64Signature = 0x06064b50;
constexpr uint32_t kEnd64LocatorSignature = 0x07064b50;
constexpr uint32_t kCentralSignature = 0x02014b50;
constexpr uint32_t kLocalSignature = 0x04034b50;
constexpr size_t kEndBytes = 22;
constexpr size_t kEnd64LocatorBytes = 20;
constexpr size_t kMaxCommentBytes = 0xffff;
constexpr uint16_t kZip64Extra = 0x0001;
constexpr uint32_t kIn64 = 0xffffffff;  // "the value stands in the zip64 field"

// Where the central directory lies.
struct End {
  uint64_t entries = 0;
  uint64_t begin = 0;
};

struct CentralEntry {
  std::string_view name;
  uint16_t flags = 0;
  uint16_t method = 0;
  uint64_t stored_bytes = 0;
  uint64_t bytes = 0;
  uint64_t local_header = 0;
};

class ZipReader {
 public:
  ZipReader(std::span<const std::byte> content, const std::string& file)
      : content_(content), context_(file + ": the zip archive") {}

  ZipDirectory read() {
    const End end = read_end();
    ByteCursor cursor = cursor_at(end.begin);
    ZipDirectory directory;
    for (uint64_t i = 0; i < end.entries; ++i) {
      const CentralEntry entry = read_central(cursor);
      if (!directory.emplace(entry.name, bytes_of(entry)).second) {
        cursor.fail("holds " + quote(entry.name) + " twice");
      }
    }
    return directory;
  }

 private:
  ByteCursor cursor_at(uint64_t at) const { return ByteCursor(content_, context_, at); }

  // The end record closes the file, but for a comment whose length it names.
  size_t find_end() const {
    const size_t most = std::min(content_.size(), kEndBytes + kMaxCommentBytes);
    for (size_t back = kEndBytes; back <= most; ++back) {
      const size_t at = content_.size() - back;
      ByteCursor cursor = cursor_at(at);
      if (cursor.read<uint32_t>() != kEndSignature) continue;
      cursor.text(16);
      if (cursor.read<uint16_t>() == back - kEndBytes) return at;
    }
    cursor_at(content_.size()).fail("has no end record: the file is cut short");
  }

  End read_end() const {
    const size_t at = find_end();
    ByteCursor cursor = cursor_at(at);
    cursor.text(10);
    End end;
    end.entries = cursor.read<uint16_t>();
    cursor.read<uint32_t>();
    end.begin = cursor.read<uint32_t>();
    return read_end64(at).value_or(end);
  }

  // Zip64 puts a locator right before the end record.
  std::optional<End> read_end64(size_t end_at) const {
    if (end_at < kEnd64LocatorBytes) return {};
    ByteCursor locator = cursor_at(end_at - kEnd64LocatorBytes);
    if (locator.read<uint32_t>() != kEnd64LocatorSignature) return {};
    locator.read<uint32_t>();
    ByteCursor cursor = cursor_at(locator.read<uint64_t>());
    if (cursor.read<uint32_t>() != kEnd64Signature) cursor.fail("has no zip64 end record here");
    cursor.text(28);
    End end;
    end.entries = cursor.read<uint64_t>();
    cursor.read<uint64_t>();
    end.begin = cursor.read<uint64_t>();
    return end;
  }

  CentralEntry read_central(ByteCursor& cursor) const {
    if (cursor.read<uint32_t>() != kCentralSignature) cursor.fail("has a damaged directory");
    cursor.text(4);
    CentralEntry entry;
    entry.flags = cursor.read<uint16_t>();
    entry.method = cursor.read<uint16_t>();
    cursor.text(8);
    entry.stored_bytes = cursor.read<uint32_t>();
    entry.bytes = cursor.read<uint32_t>();
    const auto name_bytes = cursor.read<uint16_t>();
    const auto extra_bytes = cursor.read<uint16_t>();
    const auto comment_bytes = cursor.read<uint16_t>();
    cursor.text(8);
    entry.local_header = cursor.read<uint32_t>();
    entry.name = cursor.text(name_bytes);
    read_extra(cursor, extra_bytes, entry);
    cursor.text(comment_bytes);
    return entry;
  }

  // Extra fields are (id, length, bytes); the zip64 one gives the values that did not fit, in
  // order.
  static void read_extra(ByteCursor& cursor, size_t extra_bytes, CentralEntry& entry) {
    const size_t end = cursor.at() + extra_bytes;
    while (cursor.at() + 4 <= end) {
      const auto id = cursor.read<uint16_t>();
      const size_t field_end = cursor.read<uint16_t>() + cursor.at();
      if (field_end > end) cursor.fail("has a damaged extra field");
      if (id == kZip64Extra) {
        for (uint64_t* value : {&entry.bytes, &entry.stored_bytes, &entry.local_header}) {
          if (*value == kIn64 && cursor.at() + 8 <= field_end) *value = cursor.read<uint64_t>();
        }
      }
      cursor.text(field_end - cursor.at());
    }
    cursor.text(end - cursor.at());
  }

  std::span<const std::byte> bytes_of(const CentralEntry& entry) const {
    ByteCursor cursor = cursor_at(entry.local_header);
    if (cursor.read<uint32_t>() != kLocalSignature) {
      cursor.fail("has no entry where its directory says, for " + quote(entry.name));
    }
    if ((entry.flags & 1) != 0 || entry.method != 0 || entry.stored_bytes != entry.bytes) {
      throw Error(ErrorCode::kUnsupported, context_ + " holds " + quote(entry.name) +
                                               " compressed or encrypted: torch.save does neither");
    }
    cursor.text(22);
    const auto name_bytes = cursor.read<uint16_t>();
    const auto extra_bytes = cursor.read<uint16_t>();
    if (cursor.text(name_bytes) != entry.name) {
      cursor.fail("calls an entry otherwise than its directory: " + quote(entry.name));
    }
    cursor.text(extra_bytes);
    return std::as_bytes(std::span(cursor.text(entry.bytes)));
  }

  std::span<const std::byte> content_;
  std::string context_;
};

}  // namespace

ZipDirectory read_zip_directory(std::span<const std::byte> content, const std::string& file) {
  return ZipReader(content, file).read();
}

}  // namespace engine
