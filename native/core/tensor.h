// A tensor that owns its memory: on the host (64-byte aligned) or on a device (allocated by a
// Backend).
#pragma once

#include <functional>
#include <memory>

#include "core/tensor_view.h"

namespace engine {

// Alignment of every buffer: one cache line, one AVX-512 register.
inline constexpr size_t kBufferAlignment = 64;

class Tensor {
 public:
  Tensor() = default;
  // Uninitialised host memory. Throws Error(kOutOfMemory), naming the bytes asked for.
  Tensor(Shape shape, DType dtype);
  // Takes over `data`, which `release` frees.
  Tensor(void* data, Shape shape, DType dtype, std::function<void(void*)> release);

  TensorView view() const { return view_; }
  operator TensorView() const { return view_; }       // NOLINT
  operator ConstTensorView() const { return view_; }  // NOLINT
  const Shape& shape() const { return view_.shape(); }
  DType dtype() const { return view_.dtype(); }
  int64_t dim(int axis) const { return view_.dim(axis); }
  int64_t elements() const { return view_.elements(); }
  size_t bytes() const { return view_.bytes(); }
  float* f32() const { return view_.f32(); }
  bool empty() const { return view_.empty(); }

 private:
  std::unique_ptr<void, std::function<void(void*)>> owner_;
  TensorView view_;
};

// A host copy of `source` as fp32, from any float dtype.
Tensor to_f32(ConstTensorView source);
// The same into `target`, fp32 of the same shape.
void convert_to_f32(ConstTensorView source, TensorView target);

}  // namespace engine
