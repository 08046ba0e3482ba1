// Assertions: our own mistakes, named with their place. The world's doing is an Error instead.
#pragma once

#include <source_location>
#include <string_view>

namespace engine {

// Throws Error(kInternal) with file and line when `condition` is false.
void check(bool condition, std::string_view what,
           std::source_location where = std::source_location::current());

}  // namespace engine
