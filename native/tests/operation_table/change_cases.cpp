// How features change from step to step: measured, and carried on as differences.
#include "tests/operation_table/workbench.h"

namespace engine::operation_table {

namespace {

OperationCase relative_l1_case(int64_t rows, int64_t tokens, int64_t channels) {
  return {case_name("relative_l1", {rows, tokens, channels}), rows, 1e-6, [=] {
            const Source a = normal({rows, tokens, channels}, 1);
            const Source b = normal({rows, tokens, channels}, 2);
            return [=](Workbench& bench, Rows part) {
              bench.backend().relative_l1({.a = bench.in(a, part),
                                           .b = bench.in(b, part),
                                           .sums = bench.out({part.count, 2}, DType::kF64)});
            };
          }};
}

OperationCase update_differences_case(int count, int64_t rows, int64_t width) {
  return {case_name("update_differences", {count, rows, width}), rows, 0.0, [=] {
            const Source fresh = normal({rows, width}, 1);
            std::vector<Source> kept;
            for (int i = 0; i < count; ++i) {
              kept.push_back(normal({rows, width}, static_cast<uint64_t>(i + 2)));
            }
            return [=](Workbench& bench, Rows part) {
              UpdateDifferencesArgs args;
              args.fresh = bench.in(fresh, part);
              args.count = count;
              args.inverse_distance = 1.0f / 3.0f;
              for (size_t i = 0; i < kept.size(); ++i) {
                args.differences[i] = bench.inout(kept[i], part);
              }
              bench.backend().update_differences(args);
            };
          }};
}

}  // namespace

std::vector<OperationCase> change_cases() {
  std::vector<OperationCase> cases;
  cases.push_back(relative_l1_case(1, 1, 1));
  cases.push_back(relative_l1_case(3, 5, 37));
  cases.push_back(relative_l1_case(2, 81, 1152));
  for (int count = 1; count <= kMaxDifferenceOrders + 1; ++count) {
    cases.push_back(update_differences_case(count, 3, 37));
  }
  cases.push_back(update_differences_case(3, 40, 5001));
  return cases;
}

}  // namespace engine::operation_table
