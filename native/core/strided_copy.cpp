// An odometer over the outer dimensions, a plain loop over the last.
#include "core/strided_copy.h"

#include <algorithm>
#include <cstring>

namespace engine {

bool is_contiguous(const StridedLayout& layout) {
  int64_t expected = 1;
  for (int axis = layout.shape.rank() - 1; axis >= 0; --axis) {
    const int64_t dim = layout.shape[axis];
    if (dim != 1 && layout.strides[static_cast<size_t>(axis)] != expected) return false;
    expected *= dim;
  }
  return true;
}

bool fits_storage(const StridedLayout& layout, uint64_t elements) {
  int64_t count = 1;  // taking 0 as 1: a length of 0 must not hide an overflow of the others
  uint64_t last = static_cast<uint64_t>(layout.offset);
  bool overflow = false;
  bool is_empty = false;
  for (int axis = 0; axis < layout.shape.rank(); ++axis) {
    const auto dim = static_cast<uint64_t>(layout.shape[axis]);
    const auto stride = static_cast<uint64_t>(layout.strides[static_cast<size_t>(axis)]);
    overflow |= __builtin_mul_overflow(count, std::max<uint64_t>(dim, 1), &count);
    is_empty |= dim == 0;
    if (dim <= 1) continue;
    uint64_t reach = 0;
    overflow |= __builtin_mul_overflow(dim - 1, stride, &reach);
    overflow |= __builtin_add_overflow(last, reach, &last);
  }
  if (overflow) return false;
  return is_empty ? static_cast<uint64_t>(layout.offset) <= elements : last < elements;
}

void copy_strided(const StridedLayout& layout, const std::byte* storage, size_t element_bytes,
                  std::byte* target) {
  if (layout.shape.elements() == 0) return;
  const int inner_axis = layout.shape.rank() - 1;
  const int64_t inner_count = inner_axis < 0 ? 1 : layout.shape[inner_axis];
  // Unsigned: the step behind the last element may leave any range when a length is 1.
  const auto inner_stride =
      static_cast<uint64_t>(inner_axis < 0 ? 0 : layout.strides[static_cast<size_t>(inner_axis)]);
  std::array<int64_t, Shape::kMaxRank> index{};
  for (;;) {
    auto element = static_cast<uint64_t>(layout.offset);
    for (size_t axis = 0; axis < index.size(); ++axis) {
      element += static_cast<uint64_t>(index[axis] * layout.strides[axis]);
    }
    for (int64_t i = 0; i < inner_count; ++i, element += inner_stride) {
      std::memcpy(target, storage + element * element_bytes, element_bytes);
      target += element_bytes;
    }
    int axis = inner_axis - 1;
    while (axis >= 0 && ++index[static_cast<size_t>(axis)] == layout.shape[axis]) {
      index[static_cast<size_t>(axis--)] = 0;
    }
    if (axis < 0) return;
  }
}

}  // namespace engine
