// Holds the selections of a run against those of a reference. Where a row differs only within a
// tie, the reference's choice is taken in its place, so that the rest of the run stays comparable.
#pragma once

#include "cache/token_selector.h"
#include "golden/golden_case.h"

namespace engine {

class SelectionReference : public SelectionObserver {
 public:
  // Reads ref.calls, ref.call_scores, ref.call_fresh, ref.call_gap and ref.call_counter_before, and
  // ref.call_scores_before_bonus where the case has it.
  // `rows` and `tokens` are those of the run. With `force` every choice is the reference's and
  // nothing is compared (bf16: scores are too coarse to rank alike).
  SelectionReference(const GoldenCase& golden, int64_t rows, int64_t tokens, double score_error,
                     bool force);

  // Throws Error(kInvalidCheckpoint) when the run makes a call that the reference does not have.
  void on_selection(const SelectionCall& call, TensorView indices) override;

  // Lines of the table, once the run is over.
  GoldenChecks checks() const;

 private:
  void match_site(const SelectionCall& call) const;
  // The reference's choice of a row, ascending. Throws Error(kInvalidCheckpoint) when it is none.
  std::vector<int32_t> expected_row(const SelectionCall& call, int64_t row) const;
  void compare_row(const SelectionCall& call, int64_t row, TensorView indices);
  // What a row's scores differ by, before the bonus of each cell if there is one.
  double score_difference(const SelectionCall& call, int64_t row) const;
  // Whether the bonus of some cell went to another token than the reference's.
  enum class Bonus { kSame, kTied, kElsewhere };
  Bonus compare_bonus(const SelectionCall& call, int64_t row, double score_error) const;

  const GoldenCase& golden_;
  int64_t rows_;
  int64_t tokens_;
  double score_bound_;
  bool force_;
  ConstTensorView calls_, scores_, fresh_, gap_, counters_;
  ConstTensorView unspread_;  // scores before the bonus; empty: the case has none
  int64_t next_call_ = 0;
  double worst_score_ = 0;
  int64_t counters_differ_ = 0;
  int64_t bonuses_differ_ = 0;
  int64_t rows_differ_ = 0;
  int64_t rows_excused_ = 0;
  std::string note_;
};

}  // namespace engine
