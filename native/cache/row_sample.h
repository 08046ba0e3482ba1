// A fixed sample of a tensor's rows, read into host memory: what of it is looked at is the same
// whatever the policy or the prompt, and a small part of a step's work.
#pragma once

#include "backend/backend.h"

namespace engine {

class RowSample {
 public:
  // `count` rows, spread evenly over `rows` of so many channels; all where there are fewer.
  // Allocates bytes_of() on the device. Throws Error(kOutOfMemory).
  RowSample(Backend& backend, int64_t rows, int64_t channels, int64_t count);
  static uint64_t bytes_of(int64_t rows, int64_t channels, int64_t count);

  int64_t count() const { return sample_.dim(1); }
  // `from`: [.., channels], so many rows, fp32 or bf16; `host`: [1, count(), channels], fp32. Waits
  // for the device.
  void read(ConstTensorView from, Tensor& host);

 private:
  Backend& backend_;
  Shape from_;      // [1, rows, channels]
  Tensor indices_;  // [1, count], i32
  Tensor sample_;   // [1, count, channels], fp32
};

}  // namespace engine
