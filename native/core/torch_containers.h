// PyTorch's two container layouts. Both add the tensors of the file to a table that already keeps
// the file's mapping; errors are those of open_pickle().
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "core/tensor_table.h"

namespace engine {

// Since 1.6: a zip archive with <root>/data.pkl and a file <root>/data/<key> for each storage.
bool is_torch_zip(std::span<const std::byte> content);
void read_torch_zip(TensorTable& table, std::span<const std::byte> content,
                    const std::string& file);

// Before 1.6 (and since, on demand): pickles of a magic number, a protocol version, facts about the
// machine, the object, and the storages' keys; then each storage as an element count and its bytes.
bool is_torch_legacy(std::span<const std::byte> content);
void read_torch_legacy(TensorTable& table, std::span<const std::byte> content,
                       const std::string& file);

}  // namespace engine
