#include "bindings/render_control.h"

namespace engine::bindings {

void RenderControl::cancel() {
  const std::lock_guard lock(mutex_);
  signals_.cancelled = true;
  wake_.notify_all();
}

void RenderControl::cut() {
  const std::lock_guard lock(mutex_);
  signals_.cut = true;
  wake_.notify_all();
}

bool RenderControl::goes_on() const {
  return frame_groups_out_ < kFrameGroupsAhead || signals_.cancelled || signals_.cut;
}

bool RenderControl::has_frame_credit() {
  const std::lock_guard lock(mutex_);
  return goes_on();
}

void RenderControl::acquire_frame_credit() {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [this] { return goes_on(); });
  ++frame_groups_out_;
}

void RenderControl::release_frame_credit() {
  const std::lock_guard lock(mutex_);
  if (frame_groups_out_ > 0) --frame_groups_out_;
  wake_.notify_all();
}

}  // namespace engine::bindings
