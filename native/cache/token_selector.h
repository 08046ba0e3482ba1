// Chooses the tokens that a partial step computes: scores them, takes the best, counts the
// staleness of the others.
#pragma once

#include <span>
#include <vector>

#include "backend/backend.h"
#include "cache/feature_store.h"

namespace engine {

// One selecting call, as a SelectionObserver sees it. Host memory.
struct SelectionCall {
  ModuleSite site;
  int64_t tokens = 0;      // k, chosen in each row; may be 0
  ConstTensorView scores;  // [rows, N], fp32
  ConstTensorView unspread =
      {};                    // the same before the bonus of each cell; empty where there is none
  ConstTensorView counters;  // [rows, N], i32, before this call
};

// For checking against a reference: sees every selection, and may replace it.
class SelectionObserver {
 public:
  virtual ~SelectionObserver() = default;
  // `indices` [rows, k], i32, ascending in each row, empty when k = 0. What stands in it afterwards
  // is computed and counted; it must be k distinct tokens in each row, ascending.
  virtual void on_selection(const SelectionCall& call, TensorView indices) = 0;
};

// How the tokens of a batch row lie: frame by frame, row by row.
struct TokenLayout {
  int64_t rows = 0;
  int64_t frames = 0, height = 0, width = 0;
};

class TokenSelector {
 public:
  // `scores` and `indices` are device buffers of [rows, N], fp32 and i32. The store must outlive
  // the selector.
  TokenSelector(Backend& backend, FeatureStore& store, const ScoreSettings& settings,
                const TokenLayout& layout, TensorView scores, TensorView indices);

  // Seeds of the clips, [rows / 2] with guidance: before the first choice where the score is
  // random. Both guidance halves of a clip draw the same.
  void seed(std::span<const uint64_t> clips);
  void observe(SelectionObserver* observer) { observer_ = observer; }
  // Whether the scores of a call of k tokens are wanted at all.
  bool needs_scores(int64_t k) const { return k > 0 || observer_ != nullptr; }
  // Whether scoring reads the module's input tokens.
  bool reads_input() const {
    return settings_.score == TokenScore::kNorm || settings_.score == TokenScore::kSimilarity;
  }

  // Updates the counters of the site and returns the chosen tokens, [rows, k], i32 on the device;
  // valid until the next call. Empty when k = 0. `input` [rows, N, C]: what the module would get,
  // needed where needs_scores() and reads_input(). With `clusters` [rows, N], i32, below k, the
  // scores must be random, and a token of every cluster is among the chosen.
  ConstTensorView select(const ModuleSite& site, int64_t k, ConstTensorView input,
                         ConstTensorView clusters = {});

 private:
  void score(const ModuleSite& site, ConstTensorView input, ConstTensorView counters);
  // What stands for the tokens under a score that is stored or drawn; empty under others.
  ConstTensorView statistic(const ModuleSite& site);
  // Raises the highest score of every cell.
  void spread();
  void observed_select(const ModuleSite& site, TensorView indices, TensorView counters);

  Backend& backend_;
  FeatureStore& store_;
  ScoreSettings settings_;
  TokenLayout layout_;
  TensorView scores_;
  TensorView indices_;
  SelectionObserver* observer_ = nullptr;
  Tensor unspread_;              // host; made for an observer
  Tensor draws_;                 // [rows, N], fp32, host; empty unless the score is random
  std::vector<uint64_t> seeds_;  // of each clip
};

}  // namespace engine
