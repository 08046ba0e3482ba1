// Owned buffers. Host memory is aligned to a cache line and never initialised here: whoever asks
// for it writes it.
#include "core/tensor.h"

#include <cstdlib>
#include <cstring>
#include <limits>

#include "core/check.h"
#include "engine/error.h"

namespace engine {
namespace {

// Bytes of a host buffer, rounded up to the alignment as aligned_alloc wants it; never 0, so that
// an empty tensor still has an address.
size_t buffer_bytes(const Shape& shape, DType dtype) {
  const auto elements = static_cast<size_t>(shape.elements());
  constexpr size_t kMost = std::numeric_limits<size_t>::max() / 2;
  if (elements > kMost / dtype_bytes(dtype)) {
    throw Error(ErrorCode::kOutOfMemory,
                "a tensor of shape " + shape.to_string() + " is larger than the address space");
  }
  const size_t bytes = elements * dtype_bytes(dtype);
  if (bytes == 0) return kBufferAlignment;
  return (bytes + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment;
}

template <typename Source, typename Convert>
void convert(const void* source, float* target, int64_t count, Convert to_float) {
  const auto* values = static_cast<const Source*>(source);
  for (int64_t i = 0; i < count; ++i) target[i] = to_float(values[i]);
}

}  // namespace

Tensor::Tensor(Shape shape, DType dtype) {
  const size_t bytes = buffer_bytes(shape, dtype);
  void* data = std::aligned_alloc(kBufferAlignment, bytes);
  if (data == nullptr) {
    throw Error(ErrorCode::kOutOfMemory, "cannot allocate " + std::to_string(bytes) +
                                             " bytes of host memory for a tensor of shape " +
                                             shape.to_string());
  }
  owner_ = {data, [](void* memory) { std::free(memory); }};
  view_ = {data, dtype, shape};
}

Tensor::Tensor(void* data, Shape shape, DType dtype, std::function<void(void*)> release)
    : owner_(data, std::move(release)), view_(data, dtype, shape) {}

Tensor to_f32(ConstTensorView source) {
  check(!source.empty(), "to_f32() of an empty view");
  Tensor result(source.shape(), DType::kF32);
  convert_to_f32(source, result);
  return result;
}

void convert_to_f32(ConstTensorView source, TensorView result) {
  check(result.dtype() == DType::kF32 && result.shape() == source.shape(), "fp32 of one shape");
  const int64_t count = source.elements();
  switch (source.dtype()) {
    case DType::kF32:
      std::memcpy(result.f32(), source.data(), source.bytes());
      break;
    case DType::kF16:
      convert<uint16_t>(source.data(), result.f32(), count, float_from_f16);
      break;
    case DType::kBF16:
      convert<uint16_t>(source.data(), result.f32(), count, float_from_bf16);
      break;
    case DType::kF64:
      convert<double>(source.data(), result.f32(), count,
                      [](double value) { return static_cast<float>(value); });
      break;
    default:
      throw Error(ErrorCode::kInvalidCheckpoint, "a tensor of shape " + source.shape().to_string() +
                                                     " holds " + dtype_name(source.dtype()) +
                                                     ", but a float type is needed");
  }
}

}  // namespace engine
