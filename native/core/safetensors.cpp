// Opening one .safetensors file: the header is checked as a whole, then every view is made.
#include "core/safetensors_header.h"
#include "core/tensor_table.h"

namespace engine {

std::unique_ptr<TensorFile> open_safetensors(const std::filesystem::path& file) {
  auto mapping = std::make_shared<FileMapping>(file);
  auto table = std::make_unique<TensorTable>();
  table->keep(mapping);
  SafetensorsHeader header = read_safetensors_header(mapping->bytes(), file.string());
  table->describe(std::move(header.metadata));
  for (const SafetensorsEntry& entry : header.entries) {
    const std::byte* data = mapping->bytes().data() + entry.begin;
    table->add(entry.name, aligned_view(*table, data, entry.dtype, entry.shape));
  }
  return table;
}

}  // namespace engine
