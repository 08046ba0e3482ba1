// Working memory of one operation, kept from call to call: after the first step of a render nothing
// is allocated. It belongs to the calling thread and is given out to the threads of its parallel
// region in slices, so that running out of memory is an Error there and not the end of a worker
// thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace engine::cpu {

class Scratch {
 public:
  // `shared_bytes` for all threads and one slice of `part_bytes` for each of `parts` threads,
  // uninitialised, valid until this thread's next Scratch. Error(kOutOfMemory) names the bytes.
  Scratch(size_t shared_bytes, size_t parts, size_t part_bytes);

  std::byte* shared() const { return data_; }
  std::byte* part(size_t index) const { return data_ + shared_bytes_ + index * part_bytes_; }

 private:
  std::byte* data_;
  size_t shared_bytes_;
  size_t part_bytes_;
};

// Adds up arrays that lie in one piece of memory: offsets in bytes, each aligned to a cache line.
class ScratchLayout {
 public:
  template <typename T>
  size_t add(int64_t count) {
    const size_t offset = bytes_;
    bytes_ += (static_cast<size_t>(count) * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    return offset;
  }
  size_t bytes() const { return bytes_; }

 private:
  static constexpr size_t kAlignment = 64;
  size_t bytes_ = 0;
};

}  // namespace engine::cpu
