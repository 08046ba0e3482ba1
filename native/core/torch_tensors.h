// From the plain values of a pickle to named tensors: which storages it uses, where its state dict
// is, and views into the storages.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/pickle_value.h"
#include "core/tensor_table.h"

namespace engine {

// What a pickle says of a storage that lies outside of it. Text points into the pickle.
struct TorchStorage {
  std::string_view key;
  std::string_view type;       // "FloatStorage", ...
  std::optional<DType> dtype;  // empty for an element type that the engine does not know
  uint64_t element_bytes = 0;
  uint64_t elements = 0;       // of the whole storage
  uint64_t view_begin = 0;     // a legacy storage may be a part of another: first element ...
  uint64_t view_elements = 0;  // ... and number of them
};

// A reference of the pickle as a storage; empty when it is not one of a known type.
std::optional<TorchStorage> read_torch_storage(const PickleDocument& document,
                                               const PickleReference& reference);

// The bytes of the storage with this key; nullopt when the container has none.
using FindStorage = std::function<std::optional<std::span<const std::byte>>(std::string_view key)>;

// Adds every tensor of the pickle's state dict to `table`, which must already keep the storages'
// memory. The state dict is the root, or lies in it under "state_dict", "ema", "model" or "module";
// its entries that are no tensors are passed over. Strided tensors are copied, at most
// `copy_bytes_max` bytes in all. Throws Error(kInvalidCheckpoint | kUnsupported) naming `file` and
// the tensor.
void add_torch_tensors(TensorTable& table, const PickleDocument& document,
                       const FindStorage& find_storage, uint64_t copy_bytes_max,
                       const std::string& file);

// How much may be copied for a file of so many bytes: enough for every tensor of an honest file
// several times over, not enough for a small file to fill the memory.
uint64_t torch_copy_bytes_max(uint64_t file_bytes);

}  // namespace engine
