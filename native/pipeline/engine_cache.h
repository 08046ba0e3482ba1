// What an engine keeps on disk between its lives, and shares with the other engines of a machine.
#pragma once

#include <filesystem>
#include <string>

#include "core/cache_folder.h"

namespace engine {

struct EngineCache {
  // The folders lie below `folder`; weights_bytes_max bounds that of packed weights.
  EngineCache(const std::filesystem::path& folder, uint64_t weights_bytes_max);

  CacheFolder weights;  // packed
  CacheFolder texts;    // encoded prompts
  CacheFolder digests;  // of files that have not changed since
};

// Checkpoint::digest() of the weights in a folder; from `cache` (null: none) where it was made of
// the same files: the same names, inodes, sizes and times. Throws as Checkpoint::open().
std::string part_digest(const std::filesystem::path& folder, const EngineCache* cache);

}  // namespace engine
