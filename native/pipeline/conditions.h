// What a clip is conditioned on, whatever its model: each takes what it knows.
#pragma once

#include <cstdint>

#include "core/tensor.h"

namespace engine {

// Host memory.
struct Caption {
  Tensor embedding;   // [1, L, caption channels], fp32
  Tensor mask;        // [1, L], i32, 1 = a token of the prompt
  bool kept = false;  // from the cache of encoded prompts; then rows that the mask leaves out are 0
};

struct Conditions {
  Caption caption;        // of the prompt; empty where prompts are classes
  Caption unconditional;  // of the empty prompt; empty where the weights hold a null caption
  int32_t label = 0;      // the class, where prompts are classes
};

}  // namespace engine
