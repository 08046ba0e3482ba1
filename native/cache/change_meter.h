// Measures how a tensor changed. What it gives depends on the values alone: decisions may follow.
#pragma once

#include <optional>

#include "backend/backend.h"
#include "cache/cache_needs.h"

namespace engine {

class ChangeMeter {
 public:
  // For tensors of `rows` on axis 0; allocates bytes_of(rows) on the device.
  ChangeMeter(Backend& backend, int64_t rows);
  static uint64_t bytes_of(int64_t rows);

  // From `before` to `now`, summed over the rows in order. Waits for the device.
  Change measure(ConstTensorView now, ConstTensorView before);

 private:
  Backend& backend_;
  Tensor sums_, host_;  // [rows, 2], fp64
};

// The last value of something that is compared from step to step.
class Remembered {
 public:
  Remembered() = default;
  Remembered(Backend& backend, const Shape& shape) : last_(backend.allocate(shape, DType::kF32)) {}

  bool empty() const { return last_.empty(); }
  void forget() { known_ = false; }
  // Empty the first time.
  std::optional<Change> compare(ChangeMeter& meter, ConstTensorView now) const;
  // The same with `now` as the reference.
  std::optional<Change> compare_back(ChangeMeter& meter, ConstTensorView now) const;
  void remember(Backend& backend, ConstTensorView now);

 private:
  Tensor last_;
  bool known_ = false;
};

}  // namespace engine
