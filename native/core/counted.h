// How many of something, in a sentence for people.
#pragma once

#include <cstdint>
#include <string>

namespace engine {

// "1 step", "30 steps".
inline std::string counted(int64_t count, const char* noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

}  // namespace engine
