// An engine with the threads of its two lanes, and the renders that are on them.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "bindings/lane_thread.h"
#include "bindings/render_control.h"
#include "engine/engine.h"

namespace engine::bindings {

class EngineLanes {
 public:
  ~EngineLanes();

  LaneThread& denoising() { return denoising_; }
  LaneThread& finishing() { return finishing_; }
  // Set once, on the denoising lane, before anything else is posted.
  std::unique_ptr<Engine> engine;

  // For a render or another call that may be stopped; a closing engine's is cancelled already.
  std::shared_ptr<RenderControl> new_control();
  // Cancels all that runs.
  void cancel();
  // Cancels what runs or is queued, waits for it, and frees the engine. Safe to call twice; not
  // from a lane.
  void close();

 private:
  std::mutex mutex_;
  std::vector<std::weak_ptr<RenderControl>> controls_;
  bool closing_ = false;
  LaneThread denoising_;
  LaneThread finishing_;
};

}  // namespace engine::bindings
