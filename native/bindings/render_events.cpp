#include "bindings/render_events.h"

#include <utility>
#include <vector>

#include "bindings/reports.h"

namespace engine::bindings {
namespace {

OwnedIndices own_indices(const ConstTensorView& indices) {
  if (indices.empty() || indices.elements() == 0) return {};
  const int32_t* values = indices.i32();
  return {.rows = indices.dim(0), .values = {values, values + indices.elements()}};
}

}  // namespace

void deliver(const Napi::ThreadSafeFunction& channel, Delivery delivery) {
  auto owned = std::make_unique<Delivery>(std::move(delivery));
  const auto call = [](Napi::Env env, Napi::Function listener, Delivery* data) {
    const std::unique_ptr<Delivery> mine(data);
    if (env != nullptr) (*mine)(env, listener);
  };
  if (channel.BlockingCall(owned.get(), call) == napi_ok) owned.release();
}

void EventSink::on_stage(Stage stage, double seconds) {
  deliver(channel_, [stage, seconds](Napi::Env env, Napi::Function listener) {
    listener.Call({stage_event_to_js(env, stage, seconds)});
  });
}

void EventSink::on_step(const StepReport& report) {
  std::vector<OwnedIndices> indices;
  indices.reserve(report.modules.size());
  for (const ModuleReport& module : report.modules) indices.push_back(own_indices(module.indices));
  deliver(channel_, [report, indices = std::move(indices)](Napi::Env env, Napi::Function listener) {
    listener.Call({step_event_to_js(env, report, indices)});
  });
}

void EventSink::on_checkpoint(const RenderCheckpoint& checkpoint) {
  deliver(channel_, [checkpoint](Napi::Env env, Napi::Function listener) {
    listener.Call({checkpoint_event_to_js(env, checkpoint)});
  });
}

void EventSink::on_checkpoint_failed(int step, const std::string& message) {
  deliver(channel_, [step, message](Napi::Env env, Napi::Function listener) {
    listener.Call({checkpoint_failed_event_to_js(env, step, message)});
  });
}

void EventSink::on_frames(ConstTensorView rgb, int first) {
  control_.acquire_frame_credit();
  std::vector<uint8_t> copy(rgb.u8(), rgb.u8() + rgb.elements());
  deliver(channel_, [first, shape = rgb.shape(), copy = std::move(copy)](
                        Napi::Env env, Napi::Function listener) mutable {
    listener.Call({frames_event_to_js(env, first, shape, std::move(copy))});
  });
}

}  // namespace engine::bindings
