#include "golden/selection_reference.h"

#include <algorithm>
#include <cmath>

#include "golden/part_checks.h"
#include "golden/tensor_checks.h"

namespace engine {

namespace {

// Scores are of order 0.1 and rounded a few times.
constexpr double kScoreFloor = 2e-5;
constexpr int64_t kCallFields = 6;  // step, layer, branch, module, k, N

std::string place(const SelectionCall& call) {
  return "step " + std::to_string(call.site.step) + " layer " + std::to_string(call.site.layer) +
         " " + block_kind_name(call.site.block) + " " + module_name(call.site.module);
}

}  // namespace

SelectionReference::SelectionReference(const GoldenCase& golden, int64_t rows, int64_t tokens,
                                       double score_error, bool force)
    : golden_(golden),
      rows_(rows),
      tokens_(tokens),
      score_bound_(std::max(10 * score_error, kScoreFloor)),
      force_(force) {
  calls_ = golden.tensor("ref.calls");
  const int64_t count = calls_.elements() / kCallFields;
  calls_ = golden_tensor(golden, "ref.calls", DType::kI32, {count, kCallFields});
  scores_ = golden_tensor(golden, "ref.call_scores", DType::kF32, {count, rows, tokens});
  fresh_ = golden.tensor("ref.call_fresh");
  const int64_t most = count == 0 ? 0 : fresh_.elements() / (count * rows);
  fresh_ = golden_tensor(golden, "ref.call_fresh", DType::kI32, {count, rows, most});
  gap_ = golden_tensor(golden, "ref.call_gap", DType::kF32, {count, rows});
  counters_ = golden_tensor(golden, "ref.call_counter_before", DType::kU8, {count, rows, tokens});
  if (golden.find("ref.call_scores_before_bonus").empty()) return;
  unspread_ =
      golden_tensor(golden, "ref.call_scores_before_bonus", DType::kF32, {count, rows, tokens});
}

void SelectionReference::match_site(const SelectionCall& call) const {
  const bool there = next_call_ < calls_.dim(0);
  const int32_t* const expected = calls_.i32() + next_call_ * kCallFields;
  const auto& site = call.site;
  const bool same = there && expected[0] == site.step && expected[1] == site.layer &&
                    expected[2] == (site.block == BlockKind::kTemporal ? 1 : 0) &&
                    expected[3] == static_cast<int>(site.module) && expected[4] == call.tokens &&
                    expected[5] == tokens_ && call.tokens <= fresh_.dim(2);
  if (same) return;
  throw Error(ErrorCode::kInvalidCheckpoint, golden_.folder().string() + ": the engine chooses " +
                                                 std::to_string(call.tokens) + " tokens at " +
                                                 place(call) + ", which is not call " +
                                                 std::to_string(next_call_) + " of ref.calls");
}

void SelectionReference::on_selection(const SelectionCall& call, TensorView indices) {
  match_site(call);
  for (int64_t row = 0; row < rows_; ++row) compare_row(call, row, indices);
  ++next_call_;
}

double SelectionReference::score_difference(const SelectionCall& call, int64_t row) const {
  const bool bonus = !unspread_.empty() && !call.unspread.empty();
  const ConstTensorView& all = bonus ? unspread_ : scores_;
  const ConstTensorView expected = all.rows(next_call_, 1).reshaped({rows_, tokens_});
  const ConstTensorView& found = bonus ? call.unspread : call.scores;
  return largest_difference(found.rows(row, 1), expected.rows(row, 1));
}

SelectionReference::Bonus SelectionReference::compare_bonus(const SelectionCall& call, int64_t row,
                                                            double score_error) const {
  if (unspread_.empty() || call.unspread.empty()) return Bonus::kSame;
  const int64_t first = (next_call_ * rows_ + row) * tokens_;
  const float* const expected = scores_.f32() + first;
  const float* const before = unspread_.f32() + first;
  const float* const found = call.scores.f32() + row * tokens_;
  std::vector<int64_t> moved;
  for (int64_t n = 0; n < tokens_; ++n) {
    const double difference = std::abs(static_cast<double>(found[n]) - expected[n]);
    // The bonus multiplies errors by less than 2; it is itself a large part of a score.
    if (!(difference <= 2 * score_error + kScoreFloor)) moved.push_back(n);
  }
  // A bonus that moved left one token for another of its cell that stood as high.
  for (const int64_t n : moved) {
    const bool tied = std::any_of(moved.begin(), moved.end(), [&](int64_t other) {
      const double gap = std::abs(static_cast<double>(before[n]) - before[other]);
      return other != n && gap <= 2 * score_error;
    });
    if (!tied) return Bonus::kElsewhere;
  }
  return moved.empty() ? Bonus::kSame : Bonus::kTied;
}

std::vector<int32_t> SelectionReference::expected_row(const SelectionCall& call,
                                                      int64_t row) const {
  const int32_t* const listed = fresh_.i32() + (next_call_ * rows_ + row) * fresh_.dim(2);
  std::vector<int32_t> expected(listed, listed + call.tokens);
  std::sort(expected.begin(), expected.end());
  const bool distinct = std::adjacent_find(expected.begin(), expected.end()) == expected.end();
  if (expected.empty() || (distinct && expected.front() >= 0 && expected.back() < tokens_)) {
    return expected;
  }
  throw Error(ErrorCode::kInvalidCheckpoint,
              golden_.folder().string() + ": ref.call_fresh of call " + std::to_string(next_call_) +
                  " is no choice of " + std::to_string(call.tokens) + " tokens from " +
                  std::to_string(tokens_));
}

void SelectionReference::compare_row(const SelectionCall& call, int64_t row, TensorView indices) {
  const int64_t at = next_call_ * rows_ + row, k = call.tokens;
  const std::vector<int32_t> expected = expected_row(call, row);
  int32_t* const chosen = k == 0 ? nullptr : indices.i32() + row * k;
  if (force_) {
    std::copy(expected.begin(), expected.end(), chosen);
    return;
  }
  const double score_error = score_difference(call, row);
  worst_score_ = std::max(worst_score_, score_error);
  for (int64_t n = 0; n < tokens_; ++n) {
    const int32_t counter = call.counters.i32()[row * tokens_ + n];
    counters_differ_ += counter != counters_.u8()[at * tokens_ + n];
  }
  const Bonus bonus = compare_bonus(call, row, score_error);
  bonuses_differ_ += bonus == Bonus::kElsewhere;
  if (std::equal(expected.begin(), expected.end(), chosen)) return;
  // Two tokens may err in opposite directions, each by as much as was seen.
  const bool near = gap_.f32()[at] <= 2 * score_error || bonus == Bonus::kTied;
  const bool tie = near && score_error <= score_bound_;
  if (tie) {
    ++rows_excused_;
    note_ = "last excused: " + place(call) + ", gap " + std::to_string(gap_.f32()[at]) +
            "; the reference's selection was taken there";
  } else {
    ++rows_differ_;
    note_ = "last difference: " + place(call) + " row " + std::to_string(row);
  }
  std::copy(expected.begin(), expected.end(), chosen);
}

GoldenChecks SelectionReference::checks() const {
  GoldenCheck calls = golden_count("selecting calls", calls_.dim(0) - next_call_);
  if (force_) {
    calls.note = "selections were the reference's, not compared in bf16";
    return {calls};
  }
  GoldenCheck selections = golden_count("selections", rows_differ_);
  selections.selections_excused = rows_excused_;
  selections.note = note_;
  GoldenCheck scores;
  scores.what = "scores";
  scores.error = worst_score_;
  scores.bound = score_bound_;
  scores.passed = worst_score_ <= score_bound_;
  GoldenChecks result{calls, selections, scores, golden_count("counters", counters_differ_)};
  if (!unspread_.empty()) result.push_back(golden_count("cell bonuses", bonuses_differ_));
  return result;
}

}  // namespace engine
