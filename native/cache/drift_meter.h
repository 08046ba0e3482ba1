// How far what a module reused had gone from what is computed anew, measured whenever a cache that
// was in use is refreshed: relative L1 over a fixed sample of rows. It only reads, so no bit of a
// render depends on it.
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "cache/row_sample.h"
#include "engine/plan.h"

namespace engine {

// How many of so many rows of a module's output are compared, spread evenly over all rows of the
// batch: the same ones whatever the policy or the prompt, and a small part of a step's work.
constexpr int64_t drift_sample_rows(int64_t rows) {
  return std::min(rows, std::clamp<int64_t>(rows / 16, 32, 256));
}

struct DriftShape {
  int64_t modules = 0;
  int64_t rows = 0;  // of a module's output: batch rows · tokens
  int64_t channels = 0;
};

class DriftMeter {
 public:
  // Allocates bytes_of(shape) on the device. Throws Error(kOutOfMemory).
  DriftMeter(Backend& backend, const DriftShape& shape);
  static uint64_t bytes_of(const DriftShape& shape);

  // Before module `module` is run at `step`. `kept` [.., channels]: its output as the cache has it,
  // in whatever dtype.
  void before(int64_t module, int step, Decision decision, ConstTensorView kept);
  // After it was run. Mean |new - kept| / mean |new| over the sample, of a refresh whose cache had
  // been in use, in whole or in part; else empty, and where all new values are zero.
  std::optional<double> after(ConstTensorView fresh);

 private:
  DriftShape shape_;
  RowSample sample_;
  Tensor kept_, fresh_;          // [1, sample, channels], fp32, host
  std::vector<int> last_reuse_;  // of each module, the step; -1 = not since its refresh
  bool measures_ = false;
};

}  // namespace engine
