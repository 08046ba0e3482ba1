// What is kept of the trunk as a whole: what the layers of a policy's span added or left at the
// last step that ran them, its differences, and what the policy wants compared from step to step.
// It belongs to one attempt on one device.
//
// A step calls, in this order: modulated_input(), begin_step(), reach_span(), then run() and ran()
// around the layers of the span or stand_in() instead of them, and end_step().
#pragma once

#include "cache/change_meter.h"
#include "cache/differences.h"

namespace engine {

struct TrunkCacheShape {
  int64_t rows = 0;  // 2n: both guidance halves
  int64_t tokens = 0;
  int64_t channels = 0;
  CacheNeeds needs;
};

class TrunkCache {
 public:
  // Allocates bytes_of(shape) on the device. Throws Error(kOutOfMemory).
  TrunkCache(Backend& backend, const TrunkCacheShape& shape);
  // Exactly what a cache of this shape takes: a plan prints it.
  static uint64_t bytes_of(const TrunkCacheShape& shape);

  void begin_clip();

  // x: the residual stream, [rows, tokens, channels], fp32. Each returns what the policy's needs
  // ask for there.
  std::optional<Change> modulated_input(ConstTensorView modulated);
  std::optional<Change> begin_step(ConstTensorView x);
  std::optional<Change> reach_span(ConstTensorView x);
  void run(ConstTensorView x);
  std::optional<Change> ran(int step, ConstTensorView x);
  void stand_in(int step, TrunkDecision decision, TensorView x);
  std::optional<Change> end_step(ConstTensorView x);

 private:
  bool keeps_residual() const { return shape_.needs.trunk == TrunkKept::kResidual; }
  // Where the span's input waits for its output: they become the residual.
  TensorView pending() const;
  // What `last` says of `now`, which takes its place.
  std::optional<Change> follow(Remembered& last, ConstTensorView now);

  Backend& backend_;
  TrunkCacheShape shape_;
  std::optional<ChangeMeter> meter_;
  Remembered modulated_, input_, output_;
  Remembered front_;    // at the last step that ran the span
  Tensor front_now_;    // x at the begin of a step, then what the layers before the span added
  TensorView kept_;     // differences_ with their scales
  Tensor differences_;  // [orders + 1, rows, tokens, channels]: D_0 is what is kept
  Tensor scales_;       // [orders + 1, rows, tokens], of fp8 differences
  Tensor residual_;     // empty where the place of D_0 serves
  DifferenceHistory history_;
};

}  // namespace engine
