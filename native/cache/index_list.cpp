#include "cache/index_list.h"

#include <charconv>

namespace engine {

namespace {

// The whole text, digits alone.
std::optional<int> parse_index(std::string_view text, int count) {
  int value = -1;
  const char* const end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  if (result.ec != std::errc() || result.ptr != end || value < 0 || value >= count) return {};
  return value;
}

}  // namespace

std::optional<std::vector<bool>> parse_index_list(std::string_view text, int count) {
  std::vector<bool> found(static_cast<size_t>(count), false);
  while (true) {
    const size_t comma = text.find(',');
    const std::string_view part = text.substr(0, comma);
    const size_t dash = part.find('-');
    const std::optional<int> first = parse_index(part.substr(0, dash), count);
    const std::optional<int> last =
        dash == std::string_view::npos ? first : parse_index(part.substr(dash + 1), count);
    if (!first || !last || *last < *first) return {};
    for (int index = *first; index <= *last; ++index) found[static_cast<size_t>(index)] = true;
    if (comma == std::string_view::npos) return found;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace engine
