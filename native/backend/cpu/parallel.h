// Splitting independent rows between OpenMP threads.
#pragma once

#include <omp.h>

#include <cstdint>

#include "backend/cpu/context.h"

namespace engine::cpu {

// Below so many bytes a parallel region costs more than it saves (about 3 µs to start one; one core
// moves some 20 GB/s).
inline constexpr int64_t kSerialBytes = 128 * 1024;

// Calls work(begin, end) for consecutive ranges that together are [0, count), one a thread. `work`
// must not throw, and a row's result must not depend on the range that it lies in. A region has
// either all threads or none: libgomp ends threads whenever a region asks for fewer than the last.
template <typename Work>
void parallel_ranges(const CpuContext& context, int64_t count, int64_t bytes_each, Work work) {
  if (context.threads <= 1 || count <= 1 || count * bytes_each < kSerialBytes) {
    if (count > 0) work(int64_t{0}, count);
    return;
  }
#pragma omp parallel num_threads(context.threads)
  {
    const int64_t threads = omp_get_num_threads(), thread = omp_get_thread_num();
    const int64_t begin = count * thread / threads, end = count * (thread + 1) / threads;
    if (begin < end) work(begin, end);
  }
}

}  // namespace engine::cpu
