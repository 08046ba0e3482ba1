// PyTorch's description of a tensor inside a storage, made dense.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "core/tensor_view.h"

namespace engine {

struct StridedLayout {
  Shape shape;
  std::array<int64_t, Shape::kMaxRank> strides{};  // in elements, not negative
  int64_t offset = 0;                              // in elements
};

// Row-major without gaps: strides of dimensions of length 1 do not matter.
bool is_contiguous(const StridedLayout& layout);

// True when every element of the layout lies in a storage of `elements`; computed without overflow.
bool fits_storage(const StridedLayout& layout, uint64_t elements);

// Copies the layout's elements, each of `element_bytes`, to `target` in row-major order. The layout
// must fit the storage.
void copy_strided(const StridedLayout& layout, const std::byte* storage, size_t element_bytes,
                  std::byte* target);

}  // namespace engine
