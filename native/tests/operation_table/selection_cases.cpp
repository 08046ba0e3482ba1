// Scores, the choice of tokens, and moving rows.
#include <cmath>

#include "tests/operation_table/workbench.h"

namespace engine::operation_table {

namespace {

struct ScoreSizes {
  int64_t batch, tokens, channels;
};

OperationCase entropy_case(ScoreSizes sizes) {
  return {case_name("token_scores_entropy", {sizes.batch, sizes.tokens}), 1,
          tolerance_of(DType::kF32), [=] {
            const Source entropy = normal({sizes.batch, sizes.tokens}, 1);
            const Source counters = integers({sizes.batch, sizes.tokens}, 2, 7);
            return [=](Workbench& bench, Rows) {
              bench.backend().token_scores(
                  {.score = TokenScore::kEntropy,
                   .half_entropy = bench.in(entropy),
                   .input = {},
                   .cached = {},
                   .counters = bench.in(counters),
                   .staleness_weight = 0.25f / 3.0f,
                   .scores = bench.out({sizes.batch, sizes.tokens}, DType::kF32)});
            };
          }};
}

OperationCase statistic_score_case(const std::string& name, TokenScore score, ScoreSizes sizes) {
  return {case_name("token_scores_" + name, {sizes.batch, sizes.tokens}), sizes.batch,
          tolerance_of(DType::kF32), [=] {
            const Source statistic = normal({sizes.batch, sizes.tokens}, 1);
            const Source counters = integers({sizes.batch, sizes.tokens}, 2, 7);
            return [=](Workbench& bench, Rows rows) {
              bench.backend().token_scores(
                  {.score = score,
                   .half_entropy = {},
                   .input = {},
                   .cached = {},
                   .statistic = bench.in(statistic, rows),
                   .counters = bench.in(counters, rows),
                   .staleness_weight = 0.25f / 3.0f,
                   .scores = bench.out({rows.count, sizes.tokens}, DType::kF32)});
            };
          }};
}

OperationCase feature_score_case(TokenScore score, ScoreSizes sizes, DType dtype, DType cached) {
  std::string name =
      case_name(score == TokenScore::kNorm ? "token_scores_norm" : "token_scores_similarity",
                {sizes.batch, sizes.tokens, sizes.channels}, dtype);
  name += std::string("_cached_") + dtype_name(cached);
  return {name, sizes.batch, tolerance_of(DType::kF32), [=] {
            const Shape shape{sizes.batch, sizes.tokens, sizes.channels};
            const Source input = normal(shape, 1, dtype), feature = normal(shape, 2, cached);
            const Source counters = integers({sizes.batch, sizes.tokens}, 3, 7);
            return [=](Workbench& bench, Rows rows) {
              bench.backend().token_scores(
                  {.score = score,
                   .half_entropy = {},
                   .input = bench.in(input, rows),
                   .cached = bench.in(feature, rows),
                   .counters = bench.in(counters, rows),
                   .staleness_weight = 0.1f,
                   .scores = bench.out({rows.count, sizes.tokens}, DType::kF32)});
            };
          }};
}

// `channels` of each head; the tokens as two frames where they are even.
OperationCase value_score_case(ScoreSizes sizes, int64_t heads, DType dtype) {
  const int64_t frames = sizes.tokens % 2 == 0 ? 2 : 1, spatial = sizes.tokens / frames;
  return {case_name("value_scores", {sizes.batch, sizes.tokens, heads, sizes.channels}, dtype),
          sizes.batch, tolerance_of(DType::kF32), [=] {
            const Source qkv =
                normal({sizes.batch, frames, spatial, 3, heads, sizes.channels}, 1, dtype);
            return [=](Workbench& bench, Rows rows) {
              bench.backend().value_scores(
                  {.qkv = bench.in(qkv, rows),
                   .scores = bench.out({rows.count, frames, spatial}, DType::kF32)});
            };
          }};
}

// Scores with everything that makes an order hard, repeated to fill the tokens.
Source hard_scores(int64_t batch, int64_t tokens) {
  const float kHard[] = {NAN,  0.25f,  -0.0f,   0.0f,  INFINITY, 0.25f,      -INFINITY,
                         -NAN, 1e-40f, -1e-40f, -3.5f, 0.25f,    0.25000003f};
  std::vector<float> values;
  for (int64_t i = 0; i < batch * tokens; ++i) values.push_back(kHard[i * 5 % 13]);
  return floats({batch, tokens}, values);
}

struct GridSizes {
  int64_t batch, height, width, cell;
};

OperationCase spread_case(const std::string& what, GridSizes sizes) {
  const int64_t tokens = sizes.height * sizes.width;
  return {case_name("spread_scores_" + what, {sizes.batch, sizes.height, sizes.width, sizes.cell}),
          sizes.batch, 0.0, [=] {
            const Source scores = what == "hard" ? hard_scores(sizes.batch, tokens)
                                                 : normal({sizes.batch, tokens}, 1);
            return [=](Workbench& bench, Rows rows) {
              bench.backend().spread_scores({.scores = bench.inout(scores, rows),
                                             .height = sizes.height,
                                             .width = sizes.width,
                                             .cell = sizes.cell,
                                             .factor = 1.6f});
            };
          }};
}

OperationCase select_case(const std::string& what, int64_t batch, int64_t tokens, int64_t count) {
  return {
      case_name("select_tokens_" + what, {batch, tokens, count}), batch, 0.0, [=] {
        const Source scores =
            what == "hard" ? hard_scores(batch, tokens) : normal({batch, tokens}, 1);
        const Source counters = integers({batch, tokens}, 2, 7);
        return [=](Workbench& bench, Rows rows) {
          bench.backend().select_tokens(
              {.scores = bench.in(scores, rows),
               .indices = count == 0 ? TensorView() : bench.out({rows.count, count}, DType::kI32),
               .counters = bench.inout(counters, rows)});
        };
      }};
}

OperationCase gather_case(ScoreSizes sizes, int64_t count, DType from, DType to) {
  const std::string name =
      case_name("gather_rows", {sizes.batch, sizes.tokens, count, sizes.channels}, from) + "_to_" +
      dtype_name(to);
  return {name, sizes.batch, 0.0, [=] {
            const Source input = normal({sizes.batch, sizes.tokens, sizes.channels}, 1, from);
            const Source indices = distinct(sizes.batch, count, sizes.tokens, 2);
            return [=](Workbench& bench, Rows rows) {
              bench.backend().gather_rows(
                  {.input = bench.in(input, rows),
                   .indices = bench.in(indices, rows),
                   .output = bench.out({rows.count, count, sizes.channels}, to)});
            };
          }};
}

OperationCase scatter_case(ScoreSizes sizes, int64_t count, DType from, DType to) {
  const std::string name =
      case_name("scatter_rows", {sizes.batch, sizes.tokens, count, sizes.channels}, from) + "_to_" +
      dtype_name(to);
  return {name, sizes.batch, 0.0, [=] {
            const Source input = normal({sizes.batch, count, sizes.channels}, 1, from);
            const Source output = normal({sizes.batch, sizes.tokens, sizes.channels}, 2, to);
            const Source indices = distinct(sizes.batch, count, sizes.tokens, 3);
            return [=](Workbench& bench, Rows rows) {
              bench.backend().scatter_rows({.input = bench.in(input, rows),
                                            .indices = bench.in(indices, rows),
                                            .output = bench.inout(output, rows)});
            };
          }};
}

}  // namespace

std::vector<OperationCase> selection_cases() {
  constexpr DType kF32 = DType::kF32, kBF16 = DType::kBF16;
  std::vector<OperationCase> cases;
  cases.push_back(entropy_case({2, 1, 0}));
  cases.push_back(entropy_case({4, 37, 0}));
  cases.push_back(entropy_case({2, 23850, 0}));
  for (const DType dtype : {kF32, kBF16}) {
    for (const DType cached : {kF32, kBF16}) {
      for (const ScoreSizes sizes : {ScoreSizes{1, 1, 1}, {2, 13, 37}, {2, 81, 1152}}) {
        cases.push_back(feature_score_case(TokenScore::kSimilarity, sizes, dtype, cached));
      }
      cases.push_back(gather_case({2, 13, 37}, 5, dtype, cached));
      cases.push_back(gather_case({2, 405, 288}, 60, dtype, cached));
      cases.push_back(scatter_case({2, 13, 37}, 5, dtype, cached));
      cases.push_back(scatter_case({2, 405, 288}, 60, dtype, cached));
    }
    cases.push_back(feature_score_case(TokenScore::kNorm, {2, 81, 1152}, dtype, dtype));
    cases.push_back(gather_case({2, 9, 3}, 9, dtype, dtype));
    cases.push_back(gather_case({2, 9, 3}, 0, dtype, dtype));
    cases.push_back(scatter_case({2, 9, 3}, 0, dtype, dtype));
  }
  for (const ScoreSizes sizes : {ScoreSizes{2, 37, 0}, {2, 1024, 0}}) {
    cases.push_back(statistic_score_case("attention", TokenScore::kAttention, sizes));
    cases.push_back(statistic_score_case("value_norm", TokenScore::kValueNorm, sizes));
    cases.push_back(statistic_score_case("random", TokenScore::kRandom, sizes));
  }
  for (const DType dtype : {kF32, kBF16}) {
    cases.push_back(value_score_case({1, 1, 1}, 1, dtype));
    cases.push_back(value_score_case({2, 13, 6}, 3, dtype));
    cases.push_back(value_score_case({2, 405, 72}, 16, dtype));
  }
  for (const GridSizes sizes : {GridSizes{1, 1, 1, 1}, {2, 16, 16, 2}, {2, 7, 10, 4}}) {
    cases.push_back(spread_case("random", sizes));
    cases.push_back(spread_case("hard", sizes));
  }
  for (const int64_t count : {0, 1, 100, 300, 301}) {
    cases.push_back(select_case("hard", 2, 301, count));
    cases.push_back(select_case("random", 3, 301, count));
  }
  cases.push_back(select_case("random", 1, 1, 1));
  cases.push_back(select_case("random", 2, 23850, 3565));
  return cases;
}

}  // namespace engine::operation_table
