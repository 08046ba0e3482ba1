// Measuring and extrapolating features, in the order in which the formulas are written.
#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/plain/element.h"
#include "backend/plain/operations.h"
#include "backend/shapes.h"

namespace engine::plain {

void relative_l1(const RelativeL1Args& args) {
  check_args(args);
  const int64_t rows = args.a.dim(0), width = args.a.elements() / std::max<int64_t>(1, rows);
  auto* const sums = static_cast<double*>(args.sums.data());
  for (int64_t row = 0; row < rows; ++row) {
    double difference = 0, reference = 0;
    for (int64_t i = row * width; i < (row + 1) * width; ++i) {
      const auto a = static_cast<double>(args.a.f32()[i]), b = static_cast<double>(args.b.f32()[i]);
      difference += std::abs(a - b);
      reference += std::abs(b);
    }
    sums[2 * row] = difference;
    sums[2 * row + 1] = reference;
  }
}

void update_differences(const UpdateDifferencesArgs& args) {
  check_args(args);
  if (args.fresh.elements() == 0) return;
  const int64_t width = args.fresh.dim(args.fresh.shape().rank() - 1);
  std::vector<float> values(static_cast<size_t>(width)), before(values.size());
  for (int64_t row = 0; row * width < args.fresh.elements(); ++row) {
    std::copy_n(args.fresh.f32() + row * width, width, values.begin());
    for (int order = 0; order < args.count; ++order) {
      const TensorView& kept = args.differences[static_cast<size_t>(order)];
      for (size_t i = 0; i < values.size(); ++i) {
        before[i] = load(kept, row * width + static_cast<int64_t>(i));
      }
      store_row(kept, row, values);
      for (size_t i = 0; i < values.size(); ++i) {
        values[i] = (values[i] - before[i]) * args.inverse_distance;
      }
    }
  }
}

}  // namespace engine::plain
