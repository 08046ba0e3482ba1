// The thread that owns an engine and its device. A render never sits on Node's thread pool; work is
// queued here and reports its end through a callback on this thread.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <queue>
#include <thread>

#include "engine/engine.h"

namespace engine::bindings {

// Frame groups that may wait for the encoder before decoding pauses: one being written, one ready.
inline constexpr int kFrameGroupsAhead = 2;

class EngineThread {
 public:
  EngineThread();
  ~EngineThread();
  EngineThread(const EngineThread&) = delete;
  EngineThread& operator=(const EngineThread&) = delete;

  using Task = std::function<void(std::unique_ptr<Engine>& engine)>;
  // False when the thread is closing: the task will never run.
  bool post(Task task);

  // Of the running render; begin_render() lowers them.
  const RenderSignals& signals() const { return signals_; }
  void cancel();
  void cut();
  void begin_render();

  // Called on the engine's thread before a frame group is handed over; returns early when the
  // render is cancelled or cut or the thread closes.
  void acquire_frame_credit();
  void release_frame_credit();

  // Cancels what runs, drops what is queued, joins. Safe to call twice; not from the engine's
  // thread.
  void close();

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::queue<Task> tasks_;
  int frame_groups_out_ = 0;
  bool closing_ = false;
  RenderSignals signals_;
  std::thread thread_;
};

}  // namespace engine::bindings
