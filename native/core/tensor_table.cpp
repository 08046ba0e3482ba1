// A map, and the copy for data that a container has put at an odd address.
#include "core/tensor_table.h"

#include <cstring>
#include <functional>

namespace engine {

std::vector<std::string> TensorTable::names() const {
  std::vector<std::string> result;
  result.reserve(views_.size());
  for (const auto& [name, view] : views_) result.push_back(name);
  return result;
}

ConstTensorView TensorTable::find(const std::string& name) const {
  const auto found = views_.find(name);
  return found == views_.end() ? ConstTensorView{} : found->second;
}

void TensorTable::give_back(ConstTensorView view) const {
  const auto* const data = static_cast<const std::byte*>(view.data());
  for (const auto& mapping : mappings_) {
    const auto all = mapping->bytes();
    const bool inside = !all.empty() && std::greater_equal<>()(data, all.data()) &&
                        std::less<>()(data, all.data() + all.size());
    if (inside) return mapping->give_back({data, view.bytes()});
  }
  for (const auto& table : tables_) table->give_back(view);
}

bool TensorTable::add(const std::string& name, ConstTensorView view) {
  return views_.emplace(name, view).second;
}

ConstTensorView aligned_view(TensorTable& table, const std::byte* data, DType dtype, Shape shape) {
  const ConstTensorView in_place(data, dtype, shape);
  if (reinterpret_cast<uintptr_t>(data) % dtype_bytes(dtype) == 0) return in_place;
  auto copy = std::make_shared<Tensor>(shape, dtype);
  std::memcpy(copy->view().data(), data, in_place.bytes());
  table.keep(copy);
  return *copy;
}

}  // namespace engine
