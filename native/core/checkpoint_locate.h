// Which file of a model folder holds the weights.
#pragma once

#include <filesystem>

namespace engine {

// `location` itself when it is a file, else the file that Checkpoint::open() prefers in the folder.
// Throws Error(kNotFound) when there is none, Error(kInvalidCheckpoint) when there are several and
// no rule chooses.
std::filesystem::path locate_weights(const std::filesystem::path& location);

}  // namespace engine
