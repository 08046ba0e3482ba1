// When a selection that is not the reference's is excused, on a case of one call of two rows.
#include "golden/selection_reference.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "engine/error.h"

namespace engine {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kTokens = 4;
constexpr ModuleSite kSite{
    .step = 3, .layer = 1, .block = BlockKind::kTemporal, .module = Module::kMlp};

class SelectionReferenceTest : public testing::Test {
 protected:
  SelectionReferenceTest()
      : folder_(fs::temp_directory_path() /
                ("tocafarm-" +
                 std::string(testing::UnitTest::GetInstance()->current_test_info()->name()))),
        scores_({2, kTokens}, DType::kF32),
        counters_({2, kTokens}, DType::kI32),
        indices_({2, 2}, DType::kI32) {
    fs::create_directories(folder_);
    std::ofstream(folder_ / "case.json") << R"({"kind": "stdit3-rflow"})";
    set_scores(scores_.f32(), {0.1f, 0.4f, 0.3f, 0.2f, 0.1f, 0.4f, 0.3f, 0.2f});
    std::fill_n(counters_.view().i32(), 8, 1);
    set_indices({1, 2, 1, 2});
  }
  ~SelectionReferenceTest() override { fs::remove_all(folder_); }

  static void set_scores(float* out, std::initializer_list<float> values) {
    std::copy(values.begin(), values.end(), out);
  }
  void set_indices(std::initializer_list<int32_t> values) {
    std::copy(values.begin(), values.end(), indices_.view().i32());
  }

  // The reference's choice is {1, 2} in both rows, listed by descending score.
  // Given scores before a bonus, the case has those too.
  SelectionReference reference(float gap, bool force = false,
                               std::vector<int32_t> fresh = {1, 2, 1, 2},
                               const std::vector<float>& unspread = {}) {
    const std::vector<int32_t> calls{3, 1, 1, 2, 2, kTokens};
    const std::vector<float> scores{0.1f, 0.4f, 0.3f, 0.2f, 0.1f, 0.4f, 0.3f, 0.2f};
    const std::vector<float> gaps{gap, gap};
    const std::vector<uint8_t> counters(8, 1);
    std::vector<NamedTensor> tensors{
        {"ref.calls", {calls.data(), DType::kI32, {1, 6}}},
        {"ref.call_scores", {scores.data(), DType::kF32, {1, 2, kTokens}}},
        {"ref.call_fresh", {fresh.data(), DType::kI32, {1, 2, 2}}},
        {"ref.call_gap", {gaps.data(), DType::kF32, {1, 2}}},
        {"ref.call_counter_before", {counters.data(), DType::kU8, {1, 2, 4}}}};
    if (!unspread.empty()) {
      tensors.push_back(
          {"ref.call_scores_before_bonus", {unspread.data(), DType::kF32, {1, 2, kTokens}}});
    }
    write_safetensors(folder_ / "data.safetensors", tensors);
    golden_ = GoldenCase::open(folder_);
    return {golden_, 2, kTokens, 0.0, force};
  }

  void select(SelectionReference& reference) {
    reference.on_selection({.site = kSite, .tokens = 2, .scores = scores_, .counters = counters_},
                           indices_);
  }

  // The same with scores before a bonus.
  void select(SelectionReference& reference, ConstTensorView unspread) {
    reference.on_selection({.site = kSite,
                            .tokens = 2,
                            .scores = scores_,
                            .unspread = unspread,
                            .counters = counters_},
                           indices_);
  }

  static GoldenCheck named(const SelectionReference& reference, const std::string& what) {
    for (const GoldenCheck& check : reference.checks()) {
      if (check.what == what) return check;
    }
    ADD_FAILURE() << "no check " << what;
    return {};
  }

  std::vector<int32_t> chosen() const { return {indices_.view().i32(), indices_.view().i32() + 4}; }

  fs::path folder_;
  Tensor scores_, counters_, indices_;
  GoldenCase golden_;
};

TEST_F(SelectionReferenceTest, PassesTheSameSets) {
  SelectionReference reference = this->reference(0.1f);
  select(reference);
  for (const GoldenCheck& check : reference.checks()) EXPECT_TRUE(check.passed) << check.what;
  EXPECT_EQ(named(reference, "selections").selections_excused, 0);
}

TEST_F(SelectionReferenceTest, ExcusesATieAndTakesTheReferencesChoice) {
  SelectionReference reference = this->reference(1e-6f);
  scores_.f32()[2] -= 2e-6f;
  set_indices({1, 3, 1, 2});
  select(reference);
  const GoldenCheck selections = named(reference, "selections");
  EXPECT_TRUE(selections.passed);
  EXPECT_EQ(selections.selections_excused, 1);
  EXPECT_NE(selections.note.find("step 3 layer 1 temporal mlp"), std::string::npos);
  EXPECT_EQ(chosen(), (std::vector<int32_t>{1, 2, 1, 2}));
}

TEST_F(SelectionReferenceTest, CountsADifferenceThatNoErrorOfTheScoresExplains) {
  SelectionReference reference = this->reference(0.1f);
  scores_.f32()[2] -= 2e-6f;
  set_indices({1, 3, 1, 2});
  select(reference);
  const GoldenCheck selections = named(reference, "selections");
  EXPECT_FALSE(selections.passed);
  EXPECT_EQ(selections.error, 1);
  EXPECT_EQ(chosen(), (std::vector<int32_t>{1, 2, 1, 2}));
}

TEST_F(SelectionReferenceTest, DoesNotExcuseByScoresThatAreWrong) {
  SelectionReference reference = this->reference(1e-6f);
  scores_.f32()[2] -= 0.15f;
  set_indices({1, 3, 1, 2});
  select(reference);
  EXPECT_FALSE(named(reference, "selections").passed);
  EXPECT_FALSE(named(reference, "scores").passed);
}

TEST_F(SelectionReferenceTest, CountsWrongCountersAndMissingCalls) {
  SelectionReference reference = this->reference(0.1f);
  EXPECT_EQ(named(reference, "selecting calls").error, 1);
  counters_.view().i32()[5] = 2;
  select(reference);
  EXPECT_EQ(named(reference, "selecting calls").error, 0);
  EXPECT_EQ(named(reference, "counters").error, 1);
  EXPECT_THROW(select(reference), Error);  // one call more than the reference has
}

TEST_F(SelectionReferenceTest, RefusesAReferenceThatChoosesNoToken) {
  SelectionReference outside = this->reference(0.1f, false, {1, 4, 1, 2});
  EXPECT_THROW(select(outside), Error);
  SelectionReference twice = this->reference(0.1f, false, {1, 1, 1, 2});
  EXPECT_THROW(select(twice), Error);
}

// Tokens 1 and 3 of a cell stood equally high, and the reference doubled token 1.
TEST_F(SelectionReferenceTest, ExcusesABonusThatATieInItsCellMoved) {
  const std::vector<float> before{0.1f, 0.2f, 0.3f, 0.2f, 0.1f, 0.2f, 0.3f, 0.2f};
  SelectionReference reference = this->reference(0.1f, false, {1, 2, 1, 2}, before);
  Tensor unspread({2, kTokens}, DType::kF32);
  std::copy(before.begin(), before.end(), unspread.f32());
  unspread.f32()[3] += 1e-6f;
  set_scores(scores_.f32(), {0.1f, 0.2f, 0.3f, 0.4f});
  set_indices({2, 3, 1, 2});
  select(reference, unspread);
  EXPECT_EQ(named(reference, "selections").selections_excused, 1);
  for (const GoldenCheck& check : reference.checks()) EXPECT_TRUE(check.passed) << check.what;
  EXPECT_EQ(chosen(), (std::vector<int32_t>{1, 2, 1, 2}));
}

TEST_F(SelectionReferenceTest, CountsABonusThatNoTieExplains) {
  const std::vector<float> before{0.1f, 0.2f, 0.3f, 0.15f, 0.1f, 0.2f, 0.3f, 0.2f};
  SelectionReference reference = this->reference(0.1f, false, {1, 2, 1, 2}, before);
  Tensor unspread({2, kTokens}, DType::kF32);
  std::copy(before.begin(), before.end(), unspread.f32());
  set_scores(scores_.f32(), {0.1f, 0.2f, 0.3f, 0.4f});
  set_indices({2, 3, 1, 2});
  select(reference, unspread);
  EXPECT_FALSE(named(reference, "selections").passed);
  EXPECT_EQ(named(reference, "cell bonuses").error, 1);
}

TEST_F(SelectionReferenceTest, TakesEveryChoiceFromTheReferenceWhenForced) {
  SelectionReference reference = this->reference(0.1f, true);
  set_indices({0, 3, 0, 3});
  select(reference);
  EXPECT_EQ(chosen(), (std::vector<int32_t>{1, 2, 1, 2}));
  EXPECT_EQ(reference.checks().size(), 1u);
}

}  // namespace
}  // namespace engine
