#include "pipeline/lanes.h"

#include <chrono>
#include <utility>

#include "core/check.h"
#include "engine/error.h"

namespace engine {
namespace {

// Whoever stops a render only raises a flag, so a lane that waits looks at it this often.
constexpr std::chrono::milliseconds kLookEvery{10};

size_t index_of(Lane lane) {
  return static_cast<size_t>(lane);
}

}  // namespace

void Lanes::expect_finishing(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  finishing_bytes_ += bytes;
  ++finishing_clips_;
}

void Lanes::end_finishing(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  finishing_bytes_ -= bytes;
  --finishing_clips_;
  changed_.notify_all();
}

void Lanes::await_room(const std::function<bool(uint64_t)>& fits,
                       const std::function<bool()>& stopped) {
  std::unique_lock lock(mutex_);
  wait_until(
      lock, [&] { return finishing_clips_ == 0 || fits(finishing_bytes_); }, stopped);
}

void Lanes::take(Lane lane, const std::function<bool()>& stopped) {
  if (side_by_side_) return;
  std::unique_lock lock(mutex_);
  const auto free = [&] {
    const bool goes_first = lane == Lane::kFinishing || !waits_[index_of(Lane::kFinishing)];
    return !computing_ && goes_first;
  };
  waits_[index_of(lane)] = true;
  try {
    wait_until(lock, free, stopped);
  } catch (...) {
    waits_[index_of(lane)] = false;
    changed_.notify_all();
    throw;
  }
  waits_[index_of(lane)] = false;
  computing_ = lane;
}

void Lanes::give(Lane lane) {
  if (side_by_side_) return;
  const std::lock_guard lock(mutex_);
  check(computing_ == lane, "a lane gives up a turn that it has");
  computing_.reset();
  changed_.notify_all();
}

bool Lanes::is_wanted_by_finishing() {
  const std::lock_guard lock(mutex_);
  return waits_[index_of(Lane::kFinishing)];
}

void Lanes::wait_until(std::unique_lock<std::mutex>& lock, const std::function<bool()>& ready,
                       const std::function<bool()>& stopped) {
  while (!ready()) {
    if (stopped()) {
      throw Error(ErrorCode::kCancelled, "cancelled while another clip had the device");
    }
    changed_.wait_for(lock, kLookEvery);
  }
}

Turn::Turn(Lanes& lanes, Lane lane, std::function<bool()> stopped)
    : lanes_(lanes), lane_(lane), stopped_(std::move(stopped)) {
  take();
}

Turn::~Turn() {
  if (held_) lanes_.give(lane_);
}

void Turn::take() {
  const auto start = std::chrono::steady_clock::now();
  lanes_.take(lane_, stopped_);
  held_ = true;
  const std::chrono::duration<double> waited = std::chrono::steady_clock::now() - start;
  seconds_waited_ += waited.count();
}

void Turn::offer() {
  if (lanes_.is_wanted_by_finishing()) without([] {});
}

void Turn::without(const std::function<void()>& wait) {
  const auto start = std::chrono::steady_clock::now();
  lanes_.give(lane_);
  held_ = false;
  wait();
  const std::chrono::duration<double> waited = std::chrono::steady_clock::now() - start;
  seconds_waited_ += waited.count();
  take();
}

}  // namespace engine
