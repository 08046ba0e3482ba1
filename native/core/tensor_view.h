// Non-owning, contiguous, row-major views. A view says what is where; it never allocates, frees or
// checks a bound in a loop. Owners are Tensor and Arena. A view of fp8 elements has a scale, fp32,
// for each row of the last axis; these lie elsewhere.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "core/dtype.h"

namespace engine {

class Shape {
 public:
  static constexpr int kMaxRank = 6;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims);
  explicit Shape(std::span<const int64_t> dims);

  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return dims_[static_cast<size_t>(axis)]; }
  int64_t elements() const;
  std::string to_string() const;  // "[2, 320, 144]"
  bool operator==(const Shape& other) const = default;

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

// Bytes of the elements alone.
inline size_t tensor_bytes(const Shape& shape, DType dtype) {
  return static_cast<size_t>(shape.elements()) * dtype_bytes(dtype);
}

class ConstTensorView {
 public:
  ConstTensorView() = default;
  ConstTensorView(const void* data, DType dtype, Shape shape, const float* scales = nullptr)
      : data_(data), scales_(scales), dtype_(dtype), shape_(shape) {}

  bool empty() const { return data_ == nullptr; }
  const void* data() const { return data_; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t dim(int axis) const { return shape_[axis]; }
  int64_t elements() const { return shape_.elements(); }
  size_t bytes() const { return tensor_bytes(shape_, dtype_); }
  const float* f32() const { return static_cast<const float*>(data_); }
  const uint16_t* bf16() const { return static_cast<const uint16_t*>(data_); }
  const int32_t* i32() const { return static_cast<const int32_t*>(data_); }
  const uint8_t* u8() const { return static_cast<const uint8_t*>(data_); }
  const float* scales() const { return scales_; }  // null unless fp8
  // Same data, other shape of the same number of elements; of scaled rows with the same last axis.
  ConstTensorView reshaped(Shape shape) const;
  // Rows [first, first + count) of axis 0.
  ConstTensorView rows(int64_t first, int64_t count) const;

 private:
  const void* data_ = nullptr;
  const float* scales_ = nullptr;
  DType dtype_ = DType::kF32;
  Shape shape_;
};

class TensorView {
 public:
  TensorView() = default;
  TensorView(void* data, DType dtype, Shape shape, float* scales = nullptr)
      : data_(data), scales_(scales), dtype_(dtype), shape_(shape) {}
  operator ConstTensorView() const {  // NOLINT: a view of a view
    return {data_, dtype_, shape_, scales_};
  }

  bool empty() const { return data_ == nullptr; }
  void* data() const { return data_; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t dim(int axis) const { return shape_[axis]; }
  int64_t elements() const { return shape_.elements(); }
  size_t bytes() const { return tensor_bytes(shape_, dtype_); }
  float* f32() const { return static_cast<float*>(data_); }
  uint16_t* bf16() const { return static_cast<uint16_t*>(data_); }
  int32_t* i32() const { return static_cast<int32_t*>(data_); }
  uint8_t* u8() const { return static_cast<uint8_t*>(data_); }
  float* scales() const { return scales_; }
  TensorView reshaped(Shape shape) const;
  TensorView rows(int64_t first, int64_t count) const;

 private:
  void* data_ = nullptr;
  float* scales_ = nullptr;
  DType dtype_ = DType::kF32;
  Shape shape_;
};

}  // namespace engine
