// One choice of tokens for all blocks of a step (policy toca-shared): by the mean over the blocks
// of their normalised entropies and by how long ago each token was chosen.
#pragma once

#include <span>

#include "cache/feature_store.h"

namespace engine {

class SharedSelector {
 public:
  // `blocks` in order of execution; `scores` and `indices` are device buffers of [rows, N], fp32
  // and i32. Allocates bytes_of() on the device. The store must outlive the selector.
  SharedSelector(Backend& backend, FeatureStore& store, const ScoreSettings& settings,
                 std::span<const ModulePlace> blocks, TensorView scores, TensorView indices);
  static uint64_t bytes_of(int64_t rows, int64_t tokens);

  // The blocks may rank their tokens anew since the last choice.
  void forget() { known_ = false; }
  // The chosen tokens, [rows, k], i32 on the device, ascending; valid until the next call. Counts
  // the staleness of the others where the first block's MLP has its counters, which its refresh
  // resets.
  ConstTensorView select(int64_t k);

 private:
  void average();

  Backend& backend_;
  FeatureStore& store_;
  ScoreSettings settings_;
  std::vector<ModulePlace> blocks_;
  TensorView scores_, indices_;
  Tensor mean_;  // [rows, N], fp32
  bool known_ = false;
};

}  // namespace engine
