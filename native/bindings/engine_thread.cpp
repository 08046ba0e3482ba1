#include "bindings/engine_thread.h"

#include <utility>

namespace engine::bindings {

EngineThread::EngineThread() : thread_([this] { run(); }) {}

EngineThread::~EngineThread() {
  close();
}

bool EngineThread::post(Task task) {
  const std::lock_guard lock(mutex_);
  if (closing_) return false;
  tasks_.push(std::move(task));
  wake_.notify_all();
  return true;
}

void EngineThread::cancel() {
  const std::lock_guard lock(mutex_);
  signals_.cancelled = true;
  wake_.notify_all();
}

void EngineThread::cut() {
  const std::lock_guard lock(mutex_);
  signals_.cut = true;
  wake_.notify_all();
}

void EngineThread::begin_render() {
  const std::lock_guard lock(mutex_);
  signals_.cancelled = closing_;
  signals_.cut = false;
  frame_groups_out_ = 0;
}

void EngineThread::acquire_frame_credit() {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [this] {
    return frame_groups_out_ < kFrameGroupsAhead || signals_.cancelled || signals_.cut || closing_;
  });
  ++frame_groups_out_;
}

void EngineThread::release_frame_credit() {
  const std::lock_guard lock(mutex_);
  if (frame_groups_out_ > 0) --frame_groups_out_;
  wake_.notify_all();
}

void EngineThread::close() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
    signals_.cancelled = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void EngineThread::run() {
  std::unique_ptr<Engine> engine;  // lives and dies on this thread
  for (;;) {
    Task task;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return closing_ || !tasks_.empty(); });
      if (closing_) return;
      task = std::move(tasks_.front());
      tasks_.pop();
    }
    task(engine);
  }
}

}  // namespace engine::bindings
