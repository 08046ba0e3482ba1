#include "cache/row_sample.h"

#include <algorithm>

namespace engine {

RowSample::RowSample(Backend& backend, int64_t rows, int64_t channels, int64_t count)
    : backend_(backend),
      from_{1, rows, channels},
      indices_(backend.allocate({1, std::min(rows, count)}, DType::kI32)),
      sample_(backend.allocate({1, std::min(rows, count), channels}, DType::kF32)) {
  Tensor indices(indices_.shape(), DType::kI32);
  for (int64_t i = 0; i < this->count(); ++i) {
    indices.view().i32()[i] = static_cast<int32_t>(i * rows / this->count());
  }
  backend.upload(indices, indices_);
}

uint64_t RowSample::bytes_of(int64_t rows, int64_t channels, int64_t count) {
  const auto taken = static_cast<uint64_t>(std::min(rows, count));
  return taken * sizeof(int32_t) + taken * static_cast<uint64_t>(channels) * sizeof(float);
}

void RowSample::read(ConstTensorView from, Tensor& host) {
  backend_.gather_rows({.input = from.reshaped(from_), .indices = indices_, .output = sample_});
  backend_.download(sample_, host);
}

}  // namespace engine
