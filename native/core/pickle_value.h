// What a pickle says, as plain data. A function that the pickle wants called stands here as a
// record of the call and nothing more: there is no code in this engine that could make it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace engine {

// Index into PickleDocument::values. Containers hold indices, so a pickle that makes a list contain
// itself is no trouble to hold or to free.
using PickleId = uint32_t;

struct PickleNone {};
struct PickleBytes {
  std::string_view bytes;  // also integers that do not fit into 64 bits
};
struct PickleSequence {  // list, tuple, set
  std::vector<PickleId> items;
};
struct PickleDict {  // in order of insertion; the last of equal keys counts
  std::vector<std::pair<PickleId, PickleId>> items;
};
struct PickleGlobal {
  std::string_view module;
  std::string_view name;
  bool is(std::string_view other_module, std::string_view other_name) const {
    return module == other_module && name == other_name;
  }
};
struct PickleCall {
  PickleId function;
  PickleId arguments;
};
// An object that the pickle's container keeps outside of the pickle: a storage.
struct PickleReference {
  PickleId description;
};

using PickleValue =
    std::variant<PickleNone, bool, int64_t, double, std::string_view, PickleBytes, PickleSequence,
                 PickleDict, PickleGlobal, PickleCall, PickleReference>;

// Text views point into the bytes that were read.
struct PickleDocument {
  std::vector<PickleValue> values;
  PickleId root = 0;
  size_t bytes_read = 0;  // up to and with the STOP

  // Null when the value is of another type.
  template <typename T>
  const T* get(PickleId id) const {
    return std::get_if<T>(&values[id]);
  }
};

}  // namespace engine
