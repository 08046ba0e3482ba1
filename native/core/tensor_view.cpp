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

const float* row_scales(const ConstTensorView& view, int64_t first) {
  if (view.scales() == nullptr || view.elements() == 0) return view.scales();
  const int64_t scaled_rows = view.elements() / view.dim(view.shape().rank() - 1);
  return view.scales() + scaled_rows / view.dim(0) * first;
}

void check_reshape(const ConstTensorView& view, const Shape& shape) {
  check(shape.elements() == view.elements(), "reshaped() to another number of elements");
  const int last = view.shape().rank() - 1;
  check(view.scales() == nullptr || shape[shape.rank() - 1] == view.dim(last),
        "reshaped() of rows that have scales");
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
  check_reshape(*this, shape);
  return {data_, dtype_, shape, scales_};
}

ConstTensorView ConstTensorView::rows(int64_t first, int64_t count) const {
  return {row_pointer(*this, first, count), dtype_, with_rows(shape_, count),
          row_scales(*this, first)};
}

TensorView TensorView::reshaped(Shape shape) const {
  check_reshape(*this, shape);
  return {data_, dtype_, shape, scales_};
}

TensorView TensorView::rows(int64_t first, int64_t count) const {
  return {const_cast<void*>(row_pointer(*this, first, count)), dtype_, with_rows(shape_, count),
          const_cast<float*>(row_scales(*this, first))};
}

}  // namespace engine
