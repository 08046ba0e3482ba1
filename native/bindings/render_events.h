// The way of a render's events from the engine's thread to JavaScript.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <string>

#include "bindings/engine_thread.h"

namespace engine::bindings {

// A function that runs on the JavaScript thread with the listener.
using Delivery = std::function<void(Napi::Env env, Napi::Function listener)>;

// Queues deliveries in order. Dropped when the environment is going away.
void deliver(const Napi::ThreadSafeFunction& channel, Delivery delivery);

// Copies each report and sends it; waits for the encoder between frame groups.
class EventSink : public RenderSink {
 public:
  EventSink(Napi::ThreadSafeFunction channel, EngineThread& thread)
      : channel_(channel), thread_(thread) {}
  void on_stage(Stage stage, double seconds) override;
  void on_step(const StepReport& report) override;
  void on_checkpoint(const RenderCheckpoint& checkpoint) override;
  void on_checkpoint_failed(int step, const std::string& message) override;
  void on_frames(ConstTensorView rgb, int first) override;

 private:
  Napi::ThreadSafeFunction channel_;
  EngineThread& thread_;
};

}  // namespace engine::bindings
