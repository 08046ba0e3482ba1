// When policies that forecast modules by Taylor series (arXiv 2503.06923) compute them in full.
#pragma once

#include "backend/change.h"
#include "cache/policies.h"

namespace engine {

struct TaylorTimetable {
  int interval = 0;  // steps from one full step to the next
  int order = 0;     // of the differences that forecasts use
  int warm = 0;      // steps at the start that are always full

  bool is_full(int step) const {
    const int last_warm = warm - 1;
    return step <= last_warm || (step - last_warm) % interval == 0;
  }
};

// Reads interval, order and warm, which fall back to `published`.
inline TaylorTimetable read_taylor_timetable(PolicyOptions& options,
                                             const TaylorTimetable& published) {
  TaylorTimetable timetable;
  timetable.interval = options.integer("interval", published.interval, 1, kMaxSteps);
  timetable.order = options.integer("order", published.order, 0, kMaxDifferenceOrders);
  timetable.warm = options.integer("warm", published.warm, 1, kMaxSteps);
  return timetable;
}

}  // namespace engine
