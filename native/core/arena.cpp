// The bump allocator's arithmetic. Every view starts at a multiple of kBufferAlignment, as a Tensor
// does.
#include "core/arena.h"

#include <algorithm>

#include "core/check.h"

namespace engine {

TensorView Arena::take(Shape shape, DType dtype) {
  const size_t bytes = bytes_of(shape, dtype);
  check(!block_.empty() && bytes <= capacity_bytes() - used_bytes_,
        "the arena of " + std::to_string(capacity_bytes()) + " bytes has " +
            std::to_string(capacity_bytes() - used_bytes_) + " left, but " + std::to_string(bytes) +
            " are asked for " + shape.to_string());
  auto* start = static_cast<char*>(block_.view().data()) + used_bytes_;
  used_bytes_ += bytes;
  peak_bytes_ = std::max(peak_bytes_, used_bytes_);
  return {start, dtype, shape};
}

size_t Arena::bytes_of(const Shape& shape, DType dtype) {
  const size_t bytes = tensor_bytes(shape, dtype);
  return (bytes + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment;
}

}  // namespace engine
