#include "pipeline/engine_cache.h"

#include <algorithm>
#include <vector>

#include "core/checkpoint.h"
#include "engine/error.h"

namespace engine {
namespace {

// A prompt of T5-XXL takes some 300 KB: thousands of them.
constexpr uint64_t kTextsBytesMax = uint64_t{1} << 30;
// Some 400 bytes each.
constexpr uint64_t kDigestsBytesMax = uint64_t{1} << 20;

// What tells that files are the ones they were; empty while one is so young that it could still be
// changed within the same tick of the clock.
std::string identity_of(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::string text = "weights of " + std::filesystem::canonical(folder).string() + "\n";
  for (const auto& file : files) {
    const FileIdentity identity = file_identity(file);
    if (!identity.settled) return "";
    text.append(file.filename().string()).append(" ").append(identity.changed).append("\n");
  }
  return text;
}

}  // namespace

EngineCache::EngineCache(const std::filesystem::path& folder, uint64_t weights_bytes_max)
    : weights(folder / "weights", weights_bytes_max),
      texts(folder / "texts", kTextsBytesMax),
      digests(folder / "digests", kDigestsBytesMax) {}

std::string part_digest(const std::filesystem::path& folder, const EngineCache* cache) {
  if (cache == nullptr || !std::filesystem::is_directory(folder)) {
    return Checkpoint::open(folder).digest();
  }
  const std::string identity = identity_of(folder);
  if (!identity.empty()) {
    if (const auto known = cache->digests.read(identity)) return *known;
  }
  const std::string digest = Checkpoint::open(folder).digest();
  if (identity.empty() || identity_of(folder) != identity) return digest;
  try {
    cache->digests.write(identity, std::as_bytes(std::span(digest)));
  } catch (const Error&) {  // it is made again next time
  }
  return digest;
}

}  // namespace engine
