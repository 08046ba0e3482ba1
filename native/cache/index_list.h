// Lists of indices as a user writes them: "0,1,2,5-9".
#pragma once

#include <optional>
#include <string_view>
#include <vector>

namespace engine {

// For each index below `count` whether the list has it. Nothing for a text that is no list of
// numbers and ascending ranges below `count`, separated by commas.
std::optional<std::vector<bool>> parse_index_list(std::string_view text, int count);

}  // namespace engine
