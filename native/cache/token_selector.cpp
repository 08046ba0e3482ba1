#include "cache/token_selector.h"

#include <algorithm>

#include "core/check.h"
#include "core/philox.h"

namespace engine {

namespace {

// A number of its own for every site of a render: the stream that its draws come from.
uint64_t place_of(const ModuleSite& site) {
  constexpr int kStepBits = 10, kPlaceBits = 32;
  static_assert(kMaxSteps < 1 << kStepBits);
  const auto of_step = 9 * static_cast<uint64_t>(site.layer) +
                       3 * static_cast<uint64_t>(site.block) + static_cast<uint64_t>(site.module);
  return (static_cast<uint64_t>(site.step) << (kPlaceBits - kStepBits)) + of_step;
}

}  // namespace

TokenSelector::TokenSelector(Backend& backend, FeatureStore& store, const ScoreSettings& settings,
                             const TokenLayout& layout, TensorView scores, TensorView indices)
    : backend_(backend),
      store_(store),
      settings_(settings),
      layout_(layout),
      scores_(scores),
      indices_(indices) {
  if (settings.score == TokenScore::kRandom) draws_ = Tensor(scores.shape(), DType::kF32);
}

void TokenSelector::seed(std::span<const uint64_t> clips) {
  seeds_.assign(clips.begin(), clips.end());
}

ConstTensorView TokenSelector::select(const ModuleSite& site, int64_t k, ConstTensorView input,
                                      ConstTensorView clusters) {
  const TensorView counters = store_.counters(site.layer, site.block, site.module);
  const int64_t rows = scores_.dim(0);
  TensorView indices;
  if (k > 0) indices = TensorView(indices_.data(), DType::kI32, {rows, k});
  if (needs_scores(k)) score(site, input, counters);
  if (!clusters.empty()) {
    check(settings_.score == TokenScore::kRandom, "tokens of a cluster are drawn at random");
    backend_.raise_representatives({.scores = scores_, .clusters = clusters, .count = k});
  }
  if (observer_ != nullptr) {
    observed_select(site, indices, counters);
  } else {
    backend_.select_tokens({.scores = scores_, .indices = indices, .counters = counters});
  }
  return indices;
}

void TokenSelector::score(const ModuleSite& site, ConstTensorView input, ConstTensorView counters) {
  check(!reads_input() || !input.empty(), "this score needs the module's input");
  backend_.token_scores({.score = settings_.score,
                         .half_entropy = store_.half_entropy(site.layer, site.block),
                         .input = input,
                         .cached = store_.feature(site.layer, site.block, site.module),
                         .statistic = statistic(site),
                         .counters = counters,
                         .staleness_weight = settings_.staleness_weight,
                         .scores = scores_});
  if (settings_.spread_cell > 0) spread();
}

ConstTensorView TokenSelector::statistic(const ModuleSite& site) {
  if (settings_.score != TokenScore::kRandom) {
    return store_.statistic(site.layer, site.block, settings_.score);
  }
  const int64_t rows = scores_.dim(0), tokens = scores_.dim(1);
  const auto clips = static_cast<int64_t>(seeds_.size());
  check(clips > 0 && rows % clips == 0, "a random ranking needs the seed of every clip");
  for (int64_t row = 0; row < rows; ++row) {
    float* const draws = draws_.f32() + row * tokens;
    if (row < clips) {
      fill_uniform({draws, static_cast<size_t>(tokens)}, seeds_[static_cast<size_t>(row)],
                   kScoreStream + place_of(site));
    } else {  // the other guidance half
      std::copy_n(draws_.f32() + row % clips * tokens, tokens, draws);
    }
  }
  // The buffer of the indices is free until the choice is made.
  const TensorView uploaded(indices_.data(), DType::kF32, scores_.shape());
  backend_.upload(draws_, uploaded);
  return uploaded;
}

void TokenSelector::spread() {
  if (observer_ != nullptr) {
    if (unspread_.empty()) unspread_ = Tensor(scores_.shape(), DType::kF32);
    backend_.download(scores_, unspread_);
  }
  const int64_t frame_tokens = layout_.height * layout_.width;
  backend_.spread_scores({.scores = scores_.reshaped({layout_.rows * layout_.frames, frame_tokens}),
                          .height = layout_.height,
                          .width = layout_.width,
                          .cell = settings_.spread_cell,
                          .factor = settings_.spread_factor});
}

void TokenSelector::observed_select(const ModuleSite& site, TensorView indices,
                                    TensorView counters) {
  Tensor scores(scores_.shape(), DType::kF32);
  Tensor before(counters.shape(), DType::kI32);
  backend_.download(scores_, scores);
  backend_.download(counters, before);
  backend_.select_tokens({.scores = scores_, .indices = indices, .counters = counters});
  SelectionCall call{.site = site,
                     .tokens = indices.empty() ? 0 : indices.dim(1),
                     .scores = scores,
                     .unspread = unspread_,
                     .counters = before};
  if (indices.empty()) {
    observer_->on_selection(call, {});
    return;
  }
  Tensor chosen(indices.shape(), DType::kI32);
  backend_.download(indices, chosen);
  observer_->on_selection(call, chosen);
  // The observer's word counts: the counters follow what stands in `chosen`.
  const int64_t rows = counters.dim(0), tokens = counters.dim(1);
  int32_t* const after = before.view().i32();
  for (int64_t i = 0; i < rows * tokens; ++i) ++after[i];
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t i = 0; i < call.tokens; ++i) {
      after[row * tokens + chosen.view().i32()[row * call.tokens + i]] = 0;
    }
  }
  backend_.upload(chosen, indices);
  backend_.upload(before, counters);
}

}  // namespace engine
