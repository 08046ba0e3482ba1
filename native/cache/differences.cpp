#include "cache/differences.h"

#include <algorithm>

#include "core/check.h"

namespace engine {

namespace {

ConstTensorView order_of(ConstTensorView differences, int order, const Shape& shape) {
  return differences.rows(order, 1).reshaped(shape);
}

}  // namespace

void update_differences(Backend& backend, ConstTensorView fresh, TensorView differences,
                        DifferenceHistory& history, int step) {
  const int kept = static_cast<int>(differences.dim(0));
  UpdateDifferencesArgs args;
  args.fresh = fresh;
  args.count = std::min(kept, history.refreshes + 1);
  for (int order = 0; order < args.count; ++order) {
    args.differences[static_cast<size_t>(order)] =
        differences.rows(order, 1).reshaped(fresh.shape());
  }
  if (history.refreshes > 0) {
    check(step > history.last_step, "the steps of a clip come in order");
    args.inverse_distance = 1.0f / static_cast<float>(step - history.last_step);
  }
  backend.update_differences(args);
  ++history.refreshes;
  history.last_step = step;
}

void forecast(Backend& backend, ConstTensorView differences, const DifferenceHistory& history,
              int step, ConstTensorView base, TensorView output) {
  check(history.refreshes > 0, "nothing was computed that a forecast could follow from");
  const int valid = std::min(static_cast<int>(differences.dim(0)), history.refreshes);
  WeightedSumArgs sum;
  sum.output = output;
  const auto add = [&sum](double weight, ConstTensorView tensor) {
    sum.terms[static_cast<size_t>(sum.count++)] = {static_cast<float>(weight), tensor};
  };
  if (!base.empty()) add(1, base);
  double weight = 1;  // k^i / i!
  for (int order = 0; order < valid; ++order) {
    add(weight, order_of(differences, order, output.shape()));
    weight *= static_cast<double>(step - history.last_step) / (order + 1);
  }
  backend.weighted_sum(sum);
}

}  // namespace engine
