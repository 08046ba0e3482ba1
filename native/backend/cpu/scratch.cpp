#include "backend/cpu/scratch.h"

#include "core/tensor.h"

namespace engine::cpu {

namespace {

// Slices do not share a page, so that each lies near its user.
size_t whole_pages(size_t bytes) {
  constexpr size_t kPageBytes = 4096;
  return (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
}

}  // namespace

Scratch::Scratch(size_t shared_bytes, size_t parts, size_t part_bytes)
    : shared_bytes_(whole_pages(shared_bytes)), part_bytes_(whole_pages(part_bytes)) {
  static thread_local Tensor buffer;
  const size_t bytes = shared_bytes_ + parts * part_bytes_;
  if (buffer.empty() || buffer.bytes() < bytes) {
    buffer = Tensor();  // first, so that both are never held at once
    buffer = Tensor({static_cast<int64_t>(bytes)}, DType::kU8);
  }
  data_ = static_cast<std::byte*>(buffer.view().data());
}

}  // namespace engine::cpu
