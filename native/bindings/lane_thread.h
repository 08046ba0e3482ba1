// A thread that does one thing after the other: a lane of an engine. A render never sits on Node's
// thread pool.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <queue>
#include <thread>

namespace engine::bindings {

class LaneThread {
 public:
  using Task = std::function<void()>;

  LaneThread();
  ~LaneThread();
  LaneThread(const LaneThread&) = delete;
  LaneThread& operator=(const LaneThread&) = delete;

  // False when the thread is closing: the task will never run.
  bool post(Task task);
  // Does what was posted, and joins. Safe to call twice; not from the thread itself.
  void close();

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::queue<Task> tasks_;
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace engine::bindings
