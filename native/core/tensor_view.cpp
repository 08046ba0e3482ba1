// Shapes and the two operations on views. Reshaping and cutting rows are checked here, once a call,
// never in a loop.
#include "core/tensor_view.h"

#include <algorithm>

#include "core/check.h"

namespace engine {
namespace {

// Pointer arithmetic for both kinds of view; data may lie on a device and is never touched.
const void* row_pointer(const ConstTensorView& view, int64_t first, int64_t count) {
  check(view.shape().rank() >= 1, "rows() of a scalar");
  check(first >= 0 && count >= 0 && first <= view.dim(0) && count <= view.dim(0) - first,
        "rows() outside the tensor");
  if (view.dim(0) == 0) return view.data();
  const size_t row_bytes = view.bytes() / static_cast<size_t>(view.dim(0));
  return static_cast<const char*>(view.data()) + static_cast<size_t>(first) * row_bytes;
}

Shape with_rows(const Shape& shape, int64_t count) {
  std::array<int64_t, Shape::kMaxRank> dims{};
  for (int axis = 0; axis < shape.rank(); ++axis) dims[static_cast<size_t>(axis)] = shape[axis];
  dims[0] = count;
  return Shape(std::span<const int64_t>(dims).first(static_cast<size_t>(shape.rank())));
}

}  // namespace

Shape::Shape(std::initializer_list<int64_t> dims)
    : Shape(std::span<const int64_t>(dims.begin(), dims.size())) {}

Shape::Shape(std::span<const int64_t> dims) : rank_(static_cast<int>(dims.size())) {
  check(dims.size() <= kMaxRank, "a shape of more than 6 dimensions");
  for (const int64_t dim : dims) check(dim >= 0, "a negative dimension");
  std::copy(dims.begin(), dims.end(), dims_.begin());
}

int64_t Shape::elements() const {
  int64_t product = 1;
  bool overflow = false;
  for (int axis = 0; axis < rank_; ++axis) {
    overflow |= __builtin_mul_overflow(product, (*this)[axis], &product);
  }
  check(!overflow, "the number of elements overflows");
  return product;
}

std::string Shape::to_string() const {
  std::string text = "[";
  for (int axis = 0; axis < rank_; ++axis) {
    if (axis > 0) text += ", ";
    text += std::to_string((*this)[axis]);
  }
  return text + "]";
}

ConstTensorView ConstTensorView::reshaped(Shape shape) const {
  check(shape.elements() == elements(), "reshaped() to another number of elements");
  return {data_, dtype_, shape};
}

ConstTensorView ConstTensorView::rows(int64_t first, int64_t count) const {
  return {row_pointer(*this, first, count), dtype_, with_rows(shape_, count)};
}

TensorView TensorView::reshaped(Shape shape) const {
  check(shape.elements() == elements(), "reshaped() to another number of elements");
  return {data_, dtype_, shape};
}

TensorView TensorView::rows(int64_t first, int64_t count) const {
  return {const_cast<void*>(row_pointer(*this, first, count)), dtype_, with_rows(shape_, count)};
}

}  // namespace engine
