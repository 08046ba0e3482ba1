// What a caching policy keeps of one attempt: the output of every module of every block for every
// token, how long ago each token was computed, and what ranks the tokens. It belongs to one
// attempt on one device and is never shared.
#pragma once

#include <optional>

#include "backend/backend.h"
#include "cache/cache_policy.h"
#include "cache/differences.h"
#include "cache/drift_meter.h"

namespace engine {

struct FeatureStoreShape {
  int depth = 0;
  bool temporal_blocks = true;  // a layer is a spatial and a temporal block, else one block
  bool cross_attention = true;  // whether blocks have it
  int64_t rows = 0;             // 2n: both guidance halves
  int64_t tokens = 0;
  int64_t channels = 0;
  CacheNeeds needs;
  TokenScore score = TokenScore::kEntropy;
};

class FeatureStore {
 public:
  // Allocates bytes_of(shape) on the device. Throws Error(kOutOfMemory).
  FeatureStore(Backend& backend, const FeatureStoreShape& shape);

  // Exactly what a store of this shape takes: a plan prints it.
  static uint64_t bytes_of(const FeatureStoreShape& shape);

  // A new clip: nothing is known of any module.
  void begin_clip();

  // Module output before its gate: [rows, tokens, channels], in needs.dtype. Empty when the policy
  // keeps none.
  TensorView feature(int layer, BlockKind block, Module module) const;
  // Keeps an output that was made apart from it, and its differences; [rows, tokens, channels].
  void refresh(const ModuleSite& site, ConstTensorView fresh);
  // What the differences say the output is at site.step.
  void forecast(const ModuleSite& site, TensorView output);
  // Steps since each token was computed, of cross-attention or MLP: [rows, tokens], i32.
  TensorView counters(int layer, BlockKind block, Module module) const;
  // Half entropies of the block's cross-attention map as last stored: [rows, tokens], fp32. Empty
  // when tokens are ranked otherwise.
  TensorView half_entropy(int layer, BlockKind block) const;

  // What a score of the block's tokens is made from, as last stored: half entropies, column sums of
  // the self-attention map or sums over value vectors, [rows, tokens], fp32. Empty when tokens are
  // ranked otherwise.
  TensorView statistic(int layer, BlockKind block, TokenScore score) const;

  // After a full computation: every token is fresh.
  void reset_counters(int layer, BlockKind block, Module module);

  // Around a module's run: how far what was reused of it had drifted when it is refreshed, see
  // DriftMeter. Empty at all other times, and when the policy keeps no features.
  // `fresh`: what a refresh computed, fp32.
  void begin_module(const ModuleSite& site, Decision decision);
  std::optional<double> end_module(ConstTensorView fresh);

 private:
  int64_t block_index(int layer, BlockKind block) const;
  // Place of a module among those of its block that have features, or counters.
  int64_t module_index(Module module) const;
  int64_t feature_index(int layer, BlockKind block, Module module) const;
  TensorView differences(const ModuleSite& site) const;
  DifferenceHistory& history(const ModuleSite& site);

  Backend& backend_;
  FeatureStoreShape shape_;
  Tensor features_;    // [blocks · modules, orders + 1, rows, tokens, channels]
  Tensor scales_;      // [blocks · modules, orders + 1, rows, tokens], of fp8 features
  Tensor counters_;    // [blocks, modules without self-attention, rows, tokens]
  Tensor statistics_;  // [blocks, rows, tokens]
  Tensor zeros_;       // [rows, tokens], i32, host
  std::optional<DriftMeter> drift_;
  std::vector<DifferenceHistory> histories_;  // [blocks · modules]
};

}  // namespace engine
