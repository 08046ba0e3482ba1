// The JavaScript object of an engine: see NativeEngine in engine/addon-types.ts.
#pragma once

#include <napi.h>

#include <memory>
#include <optional>

#include "bindings/engine_lanes.h"
#include "engine/error.h"

namespace engine::bindings {

class EngineObject : public Napi::ObjectWrap<EngineObject> {
 public:
  static Napi::Function define(Napi::Env env);
  // createEngine(options): a promise of an EngineObject.
  static Napi::Value create(const Napi::CallbackInfo& info);

  explicit EngineObject(const Napi::CallbackInfo& info);
  ~EngineObject() override;

 private:
  Napi::Value info(const Napi::CallbackInfo& info);
  Napi::Value render(const Napi::CallbackInfo& info);
  Napi::Value record(const Napi::CallbackInfo& info);
  Napi::Value compare(const Napi::CallbackInfo& info);
  void cancel(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);
  // Throws Error(kInvalidArgument) when closed, and while more than `others` renders run.
  void check_room(int others) const;
  // Runs work(engine, signals) on the denoising lane, where nothing else may run, and promises what
  // to_value makes of its result. `channel` is released.
  template <typename Work, typename ToValue>
  Napi::Value promise_of(Napi::Env env, Napi::ThreadSafeFunction channel, Work work,
                         ToValue to_value);
  struct ClipInWork;
  // On the lanes.
  void denoise(const std::shared_ptr<ClipInWork>& clip);
  void finish(const std::shared_ptr<ClipInWork>& clip);
  void settle(const std::shared_ptr<ClipInWork>& clip, const std::optional<Error>& error,
              const RenderResult& result);

  std::shared_ptr<EngineLanes> lanes_;
  EngineInfo engine_info_;
  int running_ = 0;  // renders and other calls
  bool closed_ = false;
};

}  // namespace engine::bindings
