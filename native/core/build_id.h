// Which build of the engine this is.
#pragma once

#include <string>

namespace engine {

// The linker's build id of the program or library that holds this code, in hex: another one
// wherever a byte of it differs. What a build has laid out is kept under it, so that no change of a
// layout has to remember to change a number. Empty where the linker wrote none.
std::string build_id();

}  // namespace engine
