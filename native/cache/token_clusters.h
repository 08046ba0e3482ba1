// Groups of tokens that stand for each other in the MLP of every block (policy clusca): made by
// k-means from its output whenever it is refreshed, starting from the groups before.
#pragma once

#include <vector>

#include "backend/backend.h"
#include "cache/feature_store.h"

namespace engine {

class TokenClusters {
 public:
  // For the MLPs of a store of this shape, whose rows are `clips` clips, once for each guidance
  // half: both halves of a clip have the same groups. Allocates bytes_of(shape) on the device.
  // Throws Error(kOutOfMemory).
  TokenClusters(Backend& backend, const FeatureStoreShape& shape, int64_t clips);
  static uint64_t bytes_of(const FeatureStoreShape& shape);

  // A new clip: the first groups start from tokens that are spread evenly.
  void begin_clip();
  // Groups the tokens anew by `output` [rows, N, C], fp32, of the block's MLP.
  void refresh(const ModuleSite& site, ConstTensorView output);
  // The group of every token, [rows, N], i32.
  ConstTensorView of(const ModuleSite& site) const;
  // Blends the values `computed` [rows, K, C] of the tokens `chosen` [rows, K] into the forecasts
  // `output` [rows, N, C] of their groups; they themselves take what was computed.
  void blend(const ModuleSite& site, ConstTensorView chosen, ConstTensorView computed,
             TensorView output);

 private:
  int64_t block_index(const ModuleSite& site) const;

  Backend& backend_;
  FeatureStoreShape shape_;
  int64_t clips_;
  Tensor centroids_;         // [blocks, rows, K, C], fp32
  Tensor clusters_;          // [blocks, rows, N], i32
  Tensor first_;             // [rows, K], i32: the tokens that the first groups start from
  std::vector<bool> known_;  // [blocks]: whether there were groups before
};

}  // namespace engine
