// A checkpoint in several files, joined by an index.json: {"weight_map": {tensor: file name}}.
#pragma once

#include <filesystem>
#include <memory>

#include "core/checkpoint.h"

namespace engine {

// One container file, told by the end of its name. Throws Error(kInvalidArgument) for another name,
// else as open_safetensors() and open_pickle().
std::unique_ptr<TensorFile> open_container(const std::filesystem::path& file);

// Holds the tensors of the weight_map and no others. Throws Error(kNotFound) naming a shard that is
// missing, Error(kInvalidCheckpoint) when the index is damaged, names a file outside its own
// folder, or a tensor that the shard does not hold.
std::unique_ptr<TensorFile> open_sharded(const std::filesystem::path& index);

}  // namespace engine
