// Timing for benchmarks: the best of many runs, since what disturbs a run only ever makes it
// longer.
#pragma once

#include <algorithm>
#include <chrono>

namespace engine::bench {

// Seconds of one run of `work`.
template <typename Work>
double seconds_of(Work work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

struct Pair {
  double ours;
  double other;
};

// The shortest runs of two pieces of work, taken in turns so that both meet the same machine. The
// first run of each, which prepares and warms, does not count.
template <typename Ours, typename Other>
Pair best_of_both(Ours ours, Other other, double budget_seconds) {
  constexpr int kFewestRuns = 5;
  ours();
  other();
  Pair best{seconds_of(ours), seconds_of(other)};
  double spent = best.ours + best.other;
  for (int run = 1; run < kFewestRuns || spent < budget_seconds; ++run) {
    const Pair now{seconds_of(ours), seconds_of(other)};
    best = {std::min(best.ours, now.ours), std::min(best.other, now.other)};
    spent += now.ours + now.other;
  }
  return best;
}

template <typename Work>
double best_of(Work work, double budget_seconds) {
  return best_of_both(
             work, [] {}, budget_seconds)
      .ours;
}

}  // namespace engine::bench
