#include "bindings/lane_thread.h"

#include <utility>

namespace engine::bindings {

LaneThread::LaneThread() : thread_([this] { run(); }) {}

LaneThread::~LaneThread() {
  close();
}

bool LaneThread::post(Task task) {
  const std::lock_guard lock(mutex_);
  if (closing_) return false;
  tasks_.push(std::move(task));
  wake_.notify_all();
  return true;
}

void LaneThread::close() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void LaneThread::run() {
  for (;;) {
    Task task;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return closing_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop();
    }
    task();
  }
}

}  // namespace engine::bindings
