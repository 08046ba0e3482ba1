// The module's exports: versions, describeModel, checkPrompts, plan, createEngine,
// weightsDigest (engine/addon-types.ts).
#include <napi.h>

#include <memory>
#include <string>

#include "bindings/engine_object.h"
#include "bindings/reports.h"
#include "bindings/request.h"
#include "bindings/values.h"
#include "pipeline/versions.h"

namespace engine::bindings {
namespace {

Napi::Value versions(const Napi::CallbackInfo& info) {
  return translated(info.Env(), [&]() -> Napi::Value {
    const Versions found = engine_versions();
    Napi::Object js = Napi::Object::New(info.Env());
    js.Set("engine", found.engine);
    js.Set("onednn", found.onednn);
    js.Set("isa", found.isa);
    js.Set("bf16Native", Napi::Boolean::New(info.Env(), found.bf16_native));
    js.Set("sentencepiece", Napi::Boolean::New(info.Env(), found.sentencepiece));
    return js;
  });
}

Napi::Value describe(const Napi::CallbackInfo& info) {
  return translated(info.Env(), [&]() -> Napi::Value {
    const ModelConfigs configs = configs_from_js(argument_object(info, 0, "configs"));
    return traits_to_js(info.Env(), describe_model(configs));
  });
}

Napi::Value check_prompt_list(const Napi::CallbackInfo& info) {
  return translated(info.Env(), [&]() -> Napi::Value {
    const ModelConfigs configs = configs_from_js(argument_object(info, 0, "configs"));
    check_prompts(configs, argument_strings(info, 1, "prompts"));
    return info.Env().Undefined();
  });
}

Napi::Value plan(const Napi::CallbackInfo& info) {
  return translated(info.Env(), [&]() -> Napi::Value {
    const ModelConfigs configs = configs_from_js(argument_object(info, 0, "configs"));
    const RenderRequest request = request_from_js(argument_object(info, 1, "request"));
    const DType dtype = dtype_from_js(info.Env(), argument_string(info, 2, "dtype"));
    return plan_to_js(info.Env(), make_plan(configs, request, dtype));
  });
}

// Reading gigabytes belongs on a pool thread, not on Node's.
class DigestWorker : public Napi::AsyncWorker {
 public:
  DigestWorker(Napi::Env env, std::string model, std::string cache_folder)
      : Napi::AsyncWorker(env),
        deferred_(Napi::Promise::Deferred::New(env)),
        model_(std::move(model)),
        cache_folder_(std::move(cache_folder)) {}
  Napi::Promise promise() { return deferred_.Promise(); }

 protected:
  void Execute() override {
    try {
      digest_ = model_digest(model_, cache_folder_);
    } catch (const Error& error) {
      error_ = std::make_unique<Error>(error);
    } catch (const std::exception& error) {
      error_ = std::make_unique<Error>(ErrorCode::kInternal, error.what());
    }
  }
  void OnOK() override {
    if (error_) return deferred_.Reject(to_js(Env(), *error_).Value());
    deferred_.Resolve(Napi::String::New(Env(), digest_));
  }

 private:
  Napi::Promise::Deferred deferred_;
  std::string model_;
  std::string cache_folder_;
  std::string digest_;
  std::unique_ptr<Error> error_;
};

Napi::Value weights_digest(const Napi::CallbackInfo& info) {
  return translated(info.Env(), [&]() -> Napi::Value {
    auto worker = std::make_unique<DigestWorker>(
        info.Env(), argument_string(info, 0, "model"),
        info[1].IsNull() ? "" : argument_string(info, 1, "cacheFolder"));
    const Napi::Promise promise = worker->promise();
    worker.release()->Queue();  // frees itself when done
    return promise;
  });
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  EngineObject::define(env);
  exports.Set("versions", Napi::Function::New(env, versions));
  exports.Set("describeModel", Napi::Function::New(env, describe));
  exports.Set("checkPrompts", Napi::Function::New(env, check_prompt_list));
  exports.Set("plan", Napi::Function::New(env, plan));
  exports.Set("createEngine", Napi::Function::New(env, EngineObject::create));
  exports.Set("weightsDigest", Napi::Function::New(env, weights_digest));
  return exports;
}

}  // namespace
}  // namespace engine::bindings

static Napi::Object init_addon(Napi::Env env, Napi::Object exports) {
  return engine::bindings::init(env, exports);
}

NODE_API_MODULE(tocafarm, init_addon)
