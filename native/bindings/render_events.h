// The way of a render's events from an engine's lanes to JavaScript.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <string>

#include "bindings/render_control.h"

namespace engine::bindings {

// A function that runs on the JavaScript thread with the listener.
using Delivery = std::function<void(Napi::Env env, Napi::Function listener)>;

// Queues deliveries in order. Dropped when the environment is going away.
void deliver(const Napi::ThreadSafeFunction& channel, Delivery delivery);

// Copies each report and sends it; waits for the encoder between frame groups.
class EventSink : public RenderSink {
 public:
  EventSink(Napi::ThreadSafeFunction channel, RenderControl& control)
      : channel_(channel), control_(control) {}
  void on_stage(Stage stage, double seconds) override;
  void on_step(const StepReport& report) override;
  void on_checkpoint(const RenderCheckpoint& checkpoint) override;
  void on_checkpoint_failed(int step, const std::string& message) override;
  void on_frames(ConstTensorView rgb, int first) override;
  bool has_room() const override { return control_.has_frame_credit(); }

 private:
  Napi::ThreadSafeFunction channel_;
  RenderControl& control_;
};

}  // namespace engine::bindings
