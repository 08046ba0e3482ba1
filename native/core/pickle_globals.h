// The names that no honest weight file holds.
#pragma once

#include <string_view>

namespace engine {

// True for functions that run programs, code or imports. Refusing them is a courtesy to the user,
// who should know; safety comes from the reader, which can call nothing.
bool is_attack_global(std::string_view module, std::string_view name);

}  // namespace engine
