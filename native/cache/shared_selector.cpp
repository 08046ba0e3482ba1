#include "cache/shared_selector.h"

#include "core/check.h"

namespace engine {

SharedSelector::SharedSelector(Backend& backend, FeatureStore& store, const ScoreSettings& settings,
                               std::span<const ModulePlace> blocks, TensorView scores,
                               TensorView indices)
    : backend_(backend),
      store_(store),
      settings_(settings),
      blocks_(blocks.begin(), blocks.end()),
      scores_(scores),
      indices_(indices),
      mean_(backend.allocate(scores.shape(), DType::kF32)) {
  check(!blocks.empty() && settings.score == TokenScore::kEntropy,
        "a shared choice is made by the entropies of one block or more");
}

uint64_t SharedSelector::bytes_of(int64_t rows, int64_t tokens) {
  return static_cast<uint64_t>(rows * tokens) * sizeof(float);
}

ConstTensorView SharedSelector::select(int64_t k) {
  if (!known_) average();
  known_ = true;
  const ModulePlace& first = blocks_.front();
  const TensorView counters = store_.counters(first.layer, first.block, Module::kMlp);
  TensorView indices;
  if (k > 0) indices = TensorView(indices_.data(), DType::kI32, {scores_.dim(0), k});
  TokenScoresArgs args;
  args.score = TokenScore::kRandom;  // the mean as it is
  args.statistic = mean_;
  args.counters = counters;
  args.staleness_weight = settings_.staleness_weight;
  args.scores = scores_;
  backend_.token_scores(args);
  backend_.select_tokens({.scores = scores_, .indices = indices, .counters = counters});
  return indices;
}

// mean += score / blocks, block after block: the order of the sum is fixed.
void SharedSelector::average() {
  const float share = 1.0f / static_cast<float>(blocks_.size());
  for (const ModulePlace& block : blocks_) {
    TokenScoresArgs args;
    args.score = TokenScore::kEntropy;
    args.half_entropy = store_.half_entropy(block.layer, block.block);
    args.counters = store_.counters(block.layer, block.block, Module::kMlp);
    args.scores = scores_;
    backend_.token_scores(args);
    WeightedSumArgs sum;
    sum.terms[0] = {share, scores_};
    sum.count = 1;
    if (&block != &blocks_.front()) {
      sum.terms[1] = {1.0f, mean_};
      sum.count = 2;
    }
    sum.output = mean_;
    backend_.weighted_sum(sum);
  }
}

}  // namespace engine
