// Reading little-endian numbers and runs of bytes from memory, never past its end. Used for pickles
// and for the zip archives that hold them.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "engine/error.h"

namespace engine {

class ByteCursor {
 public:
  // `context` begins every error.
  ByteCursor(std::span<const std::byte> bytes, const std::string& context, size_t at = 0)
      : bytes_(bytes), context_(context), at_(at) {
    if (at > bytes.size()) fail("lies outside the file");
  }

  size_t at() const { return at_; }

  template <typename Integer>
  Integer read() {
    Integer value{};
    std::memcpy(&value, text(sizeof(value)).data(), sizeof(value));
    return value;
  }

  std::string_view text(size_t count) {
    if (count > bytes_.size() - at_) fail("is cut short: " + std::to_string(count) + " bytes");
    const char* start = reinterpret_cast<const char*>(bytes_.data()) + at_;
    at_ += count;
    return {start, count};
  }

  // Up to the next line feed, which is taken too.
  std::string_view line() {
    const std::string_view rest(reinterpret_cast<const char*>(bytes_.data()) + at_,
                                bytes_.size() - at_);
    const size_t length = rest.find('\n');
    if (length == std::string_view::npos) fail("is cut short: a line");
    at_ += length + 1;
    return rest.substr(0, length);
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorCode::kInvalidCheckpoint,
                context_ + " " + what + " (at byte " + std::to_string(at_) + ")");
  }

 private:
  std::span<const std::byte> bytes_;
  const std::string& context_;
  size_t at_;
};

}  // namespace engine
