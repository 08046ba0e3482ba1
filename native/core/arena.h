// A bump allocator over one block, planned at load: a step takes views and gives them back by mark,
// and allocates nothing.
#pragma once

#include "core/tensor.h"

namespace engine {

class Arena {
 public:
  Arena() = default;
  // `block` is u8 memory of the device that will use the views.
  explicit Arena(Tensor block) : block_(std::move(block)) {}

  // Throws Error(kInternal) when the plan was too small: a defect of ours, never of a request.
  TensorView take(Shape shape, DType dtype);
  size_t mark() const { return used_bytes_; }
  void rewind(size_t mark) { used_bytes_ = mark; }
  size_t capacity_bytes() const { return block_.empty() ? 0 : block_.bytes(); }
  size_t peak_bytes() const { return peak_bytes_; }

  // Bytes that take() uses for such a tensor, alignment included: what a planner adds up.
  static size_t bytes_of(const Shape& shape, DType dtype);

 private:
  Tensor block_;
  size_t used_bytes_ = 0;
  size_t peak_bytes_ = 0;
};

}  // namespace engine
