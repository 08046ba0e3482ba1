// The JavaScript object of an engine: see NativeEngine in engine/addon-types.ts.
#pragma once

#include <napi.h>

#include <memory>

#include "bindings/engine_thread.h"

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
  void release_frames(const Napi::CallbackInfo& info);
  void cancel(const Napi::CallbackInfo& info);
  void cut(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);
  // Throws Error(kInvalidArgument) while something runs, and when closed.
  void check_idle() const;
  // Runs work(engine) on the engine's thread, where nothing else may run, and promises what
  // to_value makes of its result. `channel` is released.
  template <typename Work, typename ToValue>
  Napi::Value promise_of(Napi::Env env, Napi::ThreadSafeFunction channel, Work work,
                         ToValue to_value);

  std::shared_ptr<EngineThread> thread_;
  EngineInfo engine_info_;
  bool rendering_ = false;
  bool closed_ = false;
};

}  // namespace engine::bindings
