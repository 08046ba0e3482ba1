// What JavaScript says to one render while it runs: stop, go on, and that frames were taken.
#pragma once

#include <condition_variable>
#include <mutex>

#include "engine/engine.h"

namespace engine::bindings {

// Frame groups that may wait for the encoder before decoding pauses: one being written, one ready.
inline constexpr int kFrameGroupsAhead = 2;

class RenderControl {
 public:
  const RenderSignals& signals() const { return signals_; }
  void cancel();
  void cut();

  // Whether acquire_frame_credit() would return at once.
  bool has_frame_credit();
  // Called on the finishing lane before a frame group is handed over; returns early when the render
  // is cancelled or cut.
  void acquire_frame_credit();
  void release_frame_credit();

 private:
  bool goes_on() const;

  std::mutex mutex_;
  std::condition_variable wake_;
  int frame_groups_out_ = 0;
  RenderSignals signals_;
};

}  // namespace engine::bindings
