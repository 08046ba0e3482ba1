// The hub's habits as a list of rules, tried in order.
#include "core/checkpoint_locate.h"

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"

namespace engine {
namespace {

namespace fs = std::filesystem;

// Names of the regular files in the folder, sorted, so that messages are the same everywhere.
std::vector<std::string> file_names(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code unreadable;
    if (entry->is_regular_file(unreadable)) names.push_back(entry->path().filename().string());
  }
  if (error) {
    throw Error(ErrorCode::kIo, "cannot list " + folder.string() + ": " + error.message());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// The one file whose name ends with one of the endings; empty when there is none.
std::string only_one(const fs::path& folder, const std::vector<std::string>& names,
                     std::span<const std::string_view> endings) {
  std::vector<std::string> found;
  for (const std::string& name : names) {
    const bool fits = std::any_of(endings.begin(), endings.end(), [&](std::string_view ending) {
      return name.size() > ending.size() && name.ends_with(ending);
    });
    if (fits) found.push_back(name);
  }
  if (found.empty()) return "";
  if (found.size() > 1) {
    throw Error(ErrorCode::kInvalidCheckpoint,
                folder.string() + " holds " + std::to_string(found.size()) +
                    " files of weights, such as " + found[0] + " and " + found[1] +
                    ": give the file that is meant");
  }
  return found[0];
}

std::string choose(const fs::path& folder, const std::vector<std::string>& names) {
  constexpr std::array<std::string_view, 4> kSafetensors{
      "model.safetensors", "diffusion_pytorch_model.safetensors", "model.safetensors.index.json",
      "diffusion_pytorch_model.safetensors.index.json"};
  constexpr std::array<std::string_view, 1> kIndexEnding{".safetensors.index.json"};
  constexpr std::array<std::string_view, 1> kSafetensorsEnding{".safetensors"};
  constexpr std::array<std::string_view, 2> kPickles{"pytorch_model.bin",
                                                     "pytorch_model.bin.index.json"};
  constexpr std::array<std::string_view, 3> kPickleEndings{".bin", ".pt", ".pth"};
  const auto first_of = [&](std::span<const std::string_view> wanted) -> std::string {
    for (const std::string_view name : wanted) {
      if (std::binary_search(names.begin(), names.end(), name)) return std::string(name);
    }
    return "";
  };
  std::string found = first_of(kSafetensors);
  if (found.empty()) found = only_one(folder, names, kIndexEnding);
  if (found.empty()) found = only_one(folder, names, kSafetensorsEnding);
  if (found.empty()) found = first_of(kPickles);
  if (found.empty()) found = only_one(folder, names, kPickleEndings);
  return found;
}

}  // namespace

fs::path locate_weights(const fs::path& location) {
  std::error_code error;
  const fs::file_status status = fs::status(location, error);
  if (!fs::exists(status)) {
    throw Error(ErrorCode::kNotFound, "there is no weight file or folder " + location.string());
  }
  if (!fs::is_directory(status)) return location;
  const std::string chosen = choose(location, file_names(location));
  if (chosen.empty()) {
    throw Error(ErrorCode::kNotFound, location.string() +
                                          " holds no weights (.safetensors, .bin, .pt, .pth or "
                                          "an index.json of shards)");
  }
  return location / chosen;
}

}  // namespace engine
