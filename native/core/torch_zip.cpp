// The zip layout: storages are whole files of the archive, found by name.
#include <string_view>

#include "core/pickle_vm.h"
#include "core/torch_containers.h"
#include "core/torch_tensors.h"
#include "core/zip_directory.h"
#include "engine/error.h"

namespace engine {
namespace {

constexpr std::string_view kPickleName = "/data.pkl";

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The folder that everything lies in: the name of the file as torch.save knew it.
std::string find_root(const ZipDirectory& directory, const std::string& file) {
  for (const auto& [name, bytes] : directory) {
    const bool in_root =
        name.ends_with(kPickleName) && name.find('/') == name.size() - kPickleName.size();
    if (in_root) return name.substr(0, name.find('/') + 1);
  }
  throw Error(ErrorCode::kInvalidCheckpoint,
              file + ": the zip archive holds no data.pkl: not a file of torch.save");
}

void check_byte_order(const ZipDirectory& directory, const std::string& root,
                      const std::string& file) {
  const auto found = directory.find(root + "byteorder");
  if (found == directory.end() || text_of(found->second) == "little") return;
  throw Error(ErrorCode::kUnsupported,
              file + ": was written on a big-endian machine; convert to .safetensors there");
}

}  // namespace

bool is_torch_zip(std::span<const std::byte> content) {
  return text_of(content).starts_with("PK\x03\x04");
}

void read_torch_zip(TensorTable& table, std::span<const std::byte> content,
                    const std::string& file) {
  const ZipDirectory directory = read_zip_directory(content, file);
  const std::string root = find_root(directory, file);
  check_byte_order(directory, root, file);
  const PickleDocument document = read_pickle(directory.at(root + "data.pkl"), file);
  const FindStorage find_storage =
      [&](std::string_view key) -> std::optional<std::span<const std::byte>> {
    const auto found = directory.find(root + "data/" + std::string(key));
    if (found == directory.end()) return {};
    return found->second;
  };
  add_torch_tensors(table, document, find_storage, torch_copy_bytes_max(content.size()), file);
}

}  // namespace engine
