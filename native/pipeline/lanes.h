// The two lanes of a device: one denoises a clip while the other decodes the one before. Each runs
// on a thread and a backend of its own, and knows of the other only what stands here: whose turn it
// is to compute where the device does one thing at a time, and what memory both take together.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>

namespace engine {

enum class Lane : uint8_t { kDenoising, kFinishing };

class Lanes {
 public:
  // side_by_side: both may compute at once (streams of a GPU). Where not, they take turns: two
  // teams of threads on the same cores would only be in each other's way.
  explicit Lanes(bool side_by_side) : side_by_side_(side_by_side) {}

  // Bytes that the finishing lane needs for the clip that is on it or waits for it.
  void expect_finishing(uint64_t bytes);
  void end_finishing(uint64_t bytes);
  // Waits until `fits` says that a clip may be denoised beside what the finishing lane still needs,
  // or until that is nothing. Throws Error(kCancelled) when `stopped`.
  void await_room(const std::function<bool(uint64_t finishing_bytes)>& fits,
                  const std::function<bool()>& stopped);

 private:
  friend class Turn;

  void take(Lane lane, const std::function<bool()>& stopped);
  void give(Lane lane);
  bool is_wanted_by_finishing();
  // Under the lock. Throws Error(kCancelled).
  void wait_until(std::unique_lock<std::mutex>& lock, const std::function<bool()>& ready,
                  const std::function<bool()>& stopped);

  const bool side_by_side_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Lane> computing_;
  std::array<bool, 2> waits_{};
  uint64_t finishing_bytes_ = 0;
  int finishing_clips_ = 0;
};

// A lane's right to compute, from its beginning to its end. The finishing lane goes first: its clip
// is the older one, and its memory is the sooner free.
class Turn {
 public:
  // Waits for it. Throws Error(kCancelled) when `stopped`, which is asked while it waits.
  Turn(Lanes& lanes, Lane lane, std::function<bool()> stopped);
  ~Turn();
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  // Of the denoising lane, between two steps: lets the other one compute if it waits to. Throws as
  // the constructor.
  void offer();
  // Lets the other lane compute while `wait` runs, which does not. Throws as the constructor, and
  // what `wait` throws.
  void without(const std::function<void()>& wait);
  // In all, so far: not the clip's own time.
  double seconds_waited() const { return seconds_waited_; }

 private:
  void take();

  Lanes& lanes_;
  Lane lane_;
  std::function<bool()> stopped_;
  double seconds_waited_ = 0;
  bool held_ = false;
};

}  // namespace engine
