// Opening a pickled weight file of PyTorch, whichever layout it has: told by its first bytes,
// because the hub's names (.bin, .pt, .pth) do not tell.
#include "core/tensor_table.h"
#include "core/torch_containers.h"
#include "engine/error.h"

namespace engine {

std::unique_ptr<TensorFile> open_pickle(const std::filesystem::path& file) {
  auto mapping = std::make_shared<FileMapping>(file);
  auto table = std::make_unique<TensorTable>();
  table->keep(mapping);
  const std::span<const std::byte> content = mapping->bytes();
  if (is_torch_zip(content)) {
    read_torch_zip(*table, content, file.string());
  } else if (is_torch_legacy(content)) {
    read_torch_legacy(*table, content, file.string());
  } else {
    throw Error(ErrorCode::kInvalidCheckpoint,
                file.string() +
                    ": begins neither as a zip archive nor as a legacy file of "
                    "torch.save");
  }
  return table;
}

}  // namespace engine
