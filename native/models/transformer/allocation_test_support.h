// Counts what is allocated from the heap while a Counter lives, on any thread, by replacing the C
// library's functions below operator new. Include it in one source of a test binary of its own.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>

extern "C" {
// What glibc's own functions are called beneath the names that a program may replace.
void* __libc_malloc(size_t bytes);
void* __libc_calloc(size_t count, size_t bytes);
void* __libc_realloc(void* memory, size_t bytes);
void* __libc_memalign(size_t alignment, size_t bytes);
}

namespace engine {

inline std::atomic<bool> counts_allocations{false};
inline std::atomic<int64_t> allocations{0};

inline void count_allocation() {
  if (counts_allocations.load(std::memory_order_relaxed)) ++allocations;
}

class AllocationCounter {
 public:
  AllocationCounter() {
    allocations = 0;
    counts_allocations = true;
  }
  ~AllocationCounter() { counts_allocations = false; }
  AllocationCounter(const AllocationCounter&) = delete;
  AllocationCounter& operator=(const AllocationCounter&) = delete;

  int64_t count() const { return allocations; }
};

}  // namespace engine

extern "C" {
void* malloc(size_t bytes) {
  engine::count_allocation();
  return __libc_malloc(bytes);
}
void* calloc(size_t count, size_t bytes) {
  engine::count_allocation();
  return __libc_calloc(count, bytes);
}
void* realloc(void* memory, size_t bytes) {
  engine::count_allocation();
  return __libc_realloc(memory, bytes);
}
void* aligned_alloc(size_t alignment, size_t bytes) {
  engine::count_allocation();
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void** memory, size_t alignment, size_t bytes) {
  engine::count_allocation();
  *memory = __libc_memalign(alignment, bytes);
  return *memory == nullptr ? ENOMEM : 0;
}
}
