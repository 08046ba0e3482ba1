#include "golden/selection_reference.h"

#include <algorithm>

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
  const ConstTensorView expected = scores_.rows(next_call_, 1).reshaped({rows_, tokens_});
  return largest_difference(call.scores.rows(row, 1), expected.rows(row, 1));
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
  if (std::equal(expected.begin(), expected.end(), chosen)) return;
  // Two tokens may err in opposite directions, each by as much as was seen.
  const bool tie = gap_.f32()[at] <= 2 * score_error && score_error <= score_bound_;
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
  return {calls, selections, scores, golden_count("counters", counters_differ_)};
}

}  // namespace engine
