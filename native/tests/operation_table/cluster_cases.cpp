// Groups of tokens: found, ranked and blended.
#include <algorithm>

#include "tests/operation_table/workbench.h"

namespace engine::operation_table {

namespace {

struct ClusterSizes {
  int64_t rows, tokens, channels, count, groups;
  int iterations;
};

// The first `count` tokens of every row.
Source first_tokens(const Source& all, int64_t count) {
  const int64_t rows = all->dim(0), tokens = all->dim(1), channels = all->dim(2);
  auto first = std::make_shared<Tensor>(Shape{rows, count, channels}, DType::kF32);
  for (int64_t row = 0; row < rows; ++row) {
    std::copy_n(all->view().f32() + row * tokens * channels, count * channels,
                first->f32() + row * count * channels);
  }
  return first;
}

OperationCase cluster_case(ClusterSizes s) {
  const int64_t rows = s.groups == s.rows ? s.rows : 1;  // rows of one group are not independent
  return {
      case_name("cluster_tokens", {s.rows, s.tokens, s.channels, s.count, s.groups, s.iterations}),
      rows, 1e-5, [=] {
        const Source input = normal({s.rows, s.tokens, s.channels}, 1);
        const Source start = first_tokens(input, s.count);
        return [=](Workbench& bench, Rows part) {
          const Rows of = rows == 1 ? Rows{0, s.rows} : part;
          bench.backend().cluster_tokens({.input = bench.in(input, of),
                                          .centroids = bench.inout(start, of),
                                          .clusters = bench.out({of.count, s.tokens}, DType::kI32),
                                          .groups = rows == 1 ? s.groups : of.count,
                                          .iterations = s.iterations});
        };
      }};
}

OperationCase raise_case(int64_t rows, int64_t tokens, int64_t count) {
  return {case_name("raise_representatives", {rows, tokens, count}), rows, 0.0, [=] {
            const Source scores = normal({rows, tokens}, 1);
            const Source clusters = integers({rows, tokens}, 2, static_cast<int32_t>(count));
            return [=](Workbench& bench, Rows part) {
              bench.backend().raise_representatives({.scores = bench.inout(scores, part),
                                                     .clusters = bench.in(clusters, part),
                                                     .count = count});
            };
          }};
}

OperationCase blend_case(int64_t rows, int64_t tokens, int64_t channels, int64_t count) {
  return {case_name("blend_clusters", {rows, tokens, channels, count}), rows, 1e-6, [=] {
            const Source computed = normal({rows, count, channels}, 1);
            const Source output = normal({rows, tokens, channels}, 2);
            const Source indices = distinct(rows, count, tokens, 3);
            // Some clusters have several of the computed tokens, and some none.
            const Source clusters = integers({rows, tokens}, 4, static_cast<int32_t>(count));
            return [=](Workbench& bench, Rows part) {
              bench.backend().blend_clusters({.computed = bench.in(computed, part),
                                              .indices = bench.in(indices, part),
                                              .clusters = bench.in(clusters, part),
                                              .weight = 0.3f,
                                              .output = bench.inout(output, part)});
            };
          }};
}

}  // namespace

std::vector<OperationCase> cluster_cases() {
  std::vector<OperationCase> cases;
  for (const ClusterSizes& sizes : {ClusterSizes{1, 1, 1, 1, 1, 1},
                                    {3, 40, 37, 5, 3, 3},
                                    {4, 40, 37, 5, 2, 3},
                                    {2, 17, 72, 17, 1, 2},
                                    {2, 256, 1152, 16, 1, 2}}) {
    cases.push_back(cluster_case(sizes));
  }
  cases.push_back(raise_case(1, 1, 1));
  cases.push_back(raise_case(3, 301, 16));
  cases.push_back(raise_case(2, 10, 64));  // most clusters are empty
  cases.push_back(blend_case(1, 1, 1, 1));
  cases.push_back(blend_case(3, 40, 37, 5));
  cases.push_back(blend_case(2, 256, 1152, 16));
  return cases;
}

}  // namespace engine::operation_table
