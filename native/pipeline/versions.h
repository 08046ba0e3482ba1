// What this build is made of, for `doctor` and for the kind of a device.
#pragma once

#include <string>

namespace engine {

struct Versions {
  std::string engine;
  std::string onednn;  // "" when built without the CPU backend
  std::string isa;     // the instruction set that the CPU backend chooses here
  bool bf16_native = false;
  bool sentencepiece = false;
};
Versions engine_versions();

}  // namespace engine
