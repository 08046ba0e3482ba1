// Forecasts of a feature from its finite differences (TaylorSeer, arXiv 2503.06923): at each
// computed step D_0 = F and D_{i+1} = (D_i - D_i of the last computed step) / their distance; k
// steps after it F is taken to be Σ D_i k^i / i!.
#pragma once

#include "backend/backend.h"

namespace engine {

// How often a feature was computed, and when.
struct DifferenceHistory {
  int refreshes = 0;
  int last_step = 0;
};

// Takes the output of `step` into differences [orders + 1, ...], of which as many orders become
// valid as there were refreshes. `fresh` has the shape of one of them and is none of them.
void update_differences(Backend& backend, ConstTensorView fresh, TensorView differences,
                        DifferenceHistory& history, int step);

// output = base + the forecast for `step`, from all orders that are valid; an empty base is zero.
// The output may be the base. history.refreshes > 0.
void forecast(Backend& backend, ConstTensorView differences, const DifferenceHistory& history,
              int step, ConstTensorView base, TensorView output);

}  // namespace engine
