// Python's pickle machine for reading weights: protocols 2 to 5, without a single effect. It builds
// plain values; it imports nothing, calls nothing and makes no object.
#pragma once

#include <span>
#include <string>

#include "core/pickle_value.h"

namespace engine {

// Bounds of one pickle. A published state dict takes about 30 values a tensor; a training
// checkpoint with its optimizer stays below a tenth of this.
inline constexpr size_t kMaxPickleBytes = size_t{64} << 20;
inline constexpr size_t kMaxPickleValues = size_t{4} << 20;

// Reads one pickle from the start of `content`, which may go on after it. `context` begins every
// error. Throws Error(kInvalidCheckpoint) for a damaged pickle, one over the bounds, an operation
// that weights do not need, or one that names a function whose only use there is an attack
// (os.system and the like): nothing would run it, but the file is not what it seems to be.
PickleDocument read_pickle(std::span<const std::byte> content, const std::string& context);

}  // namespace engine
