// The blocks of a step, of any transformer, under a policy: they run one after the other, or what
// the policy has kept takes the place of some or all of them.
#pragma once

#include <functional>
#include <memory>

#include "cache/shared_selector.h"
#include "cache/trunk_cache.h"
#include "models/transformer/block.h"

namespace engine {

// The blocks' weights and vectors, by index in order of execution.
using BlockAt = std::function<BlockInput(int index)>;

class Trunk {
 public:
  // Weights, policy and the memory of `buffers` must outlive the object. Allocates what the policy
  // keeps. Throws Error(kOutOfMemory), or Error(kInvalidArgument) for a policy that decides from
  // what it measures over several clips.
  Trunk(Backend& backend, const BlockSettings& settings, const BlockBuffers& buffers,
        const CachePolicy& policy, const FeatureStoreShape& shape);
  Trunk(const Trunk&) = delete;  // its parts refer to each other
  Trunk& operator=(const Trunk&) = delete;

  // What the constructor allocates for such a shape.
  static uint64_t cache_bytes(const FeatureStoreShape& shape);

  // Before the first step of every clip: a new run of the policy, which knows nothing.
  void begin_clip();
  // Seeds of the clips; a policy that ranks at random draws from them.
  void seed(std::span<const uint64_t> clips) { blocks_.seed(clips); }
  // Runs the step on buffers.x. Steps of a clip come in order, from 0 or from a refresh point.
  // Throws Error(kCancelled) between blocks, and what hooks throw.
  void run(const BlockStep& step, const BlockAt& block_at, const StepHooks& hooks);

 private:
  LayerSpan span_at(int step) const;
  void run_layers(int first, int last, const BlockAt& block_at, const StepHooks& hooks);
  // All layers for one choice of `tokens` tokens; the others pass them at once.
  void run_chosen(int64_t tokens, const BlockAt& block_at, const StepHooks& hooks);
  void skip_layers(const LayerSpan& span, TrunkDecision decision, const BlockAt& block_at,
                   const StepHooks& hooks);

  const CachePolicy& policy_;
  Backend& backend_;
  TensorView all_x_;
  TensorView x_;  // of the rows that the step computes
  TensorView scratch_;
  int depth_;
  int blocks_per_layer_;
  CacheNeeds needs_;
  FeatureStore store_;
  TrunkCache cache_;
  std::optional<TokenClusters> clusters_;
  BlockRunner blocks_;
  std::optional<SharedSelector> shared_;
  std::unique_ptr<PolicyRun> decisions_;
  int step_ = 0;
};

}  // namespace engine
