// Names in hostile files may hold line breaks, terminal escapes or megabytes: none of it may reach
// a log line.
#include "core/quote.h"

namespace engine {

std::string quote(std::string_view text) {
  constexpr size_t kMaxBytes = 200;
  constexpr char kHex[] = "0123456789abcdef";
  std::string result = "\"";
  for (const char c : text.substr(0, kMaxBytes)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      result += c;
    } else {
      result += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  if (text.size() > kMaxBytes) result += "...";
  return result + "\"";
}

}  // namespace engine
