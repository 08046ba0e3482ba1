#include "bindings/engine_object.h"

#include <exception>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "bindings/render_events.h"
#include "bindings/reports.h"
#include "bindings/request.h"
#include "bindings/values.h"

namespace engine::bindings {
namespace {

// Beyond it a number of JavaScript counts no single bytes.
constexpr double kCacheBytesMax = 9007199254740992.0;

// One is denoised, or waits for that; one is finished.
constexpr int kClipsMax = 2;

// Runs `body` on a lane; what it throws becomes an Error.
template <typename Body>
std::optional<Error> caught(Body&& body) {
  try {
    body();
    return std::nullopt;
  } catch (const Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return Error(ErrorCode::kOutOfMemory,
                 "the host is out of memory; render fewer frames or a smaller size");
  } catch (const std::exception& error) {
    return Error(ErrorCode::kInternal, error.what());
  }
}

EngineOptions options_from_js(const Napi::Object& object) {
  EngineOptions options{.model = get_string(object, "model"),
                        .device = get_string(object, "device"),
                        .dtype = dtype_from_js(object.Env(), get_string(object, "dtype")),
                        .threads = get_int(object, "threads")};
  if (object.Get("cache").IsNull()) return options;
  const Napi::Object cache = get_object(object, "cache");
  const double bytes = get_number(cache, "weightsBytesMax");
  if (bytes < 0 || bytes > kCacheBytesMax) {
    throw Error(ErrorCode::kInvalidArgument,
                "weightsBytesMax must be between 0 and 2^53: give fewer bytes");
  }
  options.cache_folder = get_string(cache, "folder");
  options.cache_bytes_max = static_cast<uint64_t>(bytes);
  return options;
}

RenderOptions render_options_from_js(const Napi::Object& object) {
  RenderOptions options;
  options.request = request_from_js(get_object(object, "request"));
  const std::string initial = get_string_or_null(object, "initialLatent");
  const std::string save = get_string_or_null(object, "saveLatent");
  if (!initial.empty()) options.initial_latent = initial;
  if (!save.empty()) options.save_latent = save;
  options.trace_indices = get_bool(object, "traceIndices");
  const std::string resume = get_string_or_null(object, "resumeFrom");
  if (!resume.empty()) options.resume_from = resume;
  options.checkpoint_folder = get_string_or_null(object, "checkpointFolder");
  options.checkpoint_period_seconds = get_number(object, "checkpointPeriodSeconds");
  return options;
}

Napi::ThreadSafeFunction progress_channel(Napi::Env env, const Napi::Value& on_step) {
  if (!on_step.IsFunction()) throw Error(ErrorCode::kInvalidArgument, "onStep must be a function");
  return Napi::ThreadSafeFunction::New(env, on_step.As<Napi::Function>(), "tocafarm.passes", 0, 1);
}

PassProgress progress_on(const Napi::ThreadSafeFunction& channel) {
  return [channel](int done, int total) {
    deliver(channel, [done, total](Napi::Env env, Napi::Function listener) {
      listener.Call({Napi::Number::New(env, done), Napi::Number::New(env, total)});
    });
  };
}

struct InstanceData {
  Napi::FunctionReference constructor;
};

// What the constructor of EngineObject takes over.
struct Created {
  std::shared_ptr<EngineLanes> lanes;
  EngineInfo info;
};

Napi::Function method(Napi::Env env, const char* name, const std::function<void()>& act) {
  return Napi::Function::New(
      env, [act](const Napi::CallbackInfo&) { act(); }, name);
}

}  // namespace

// A render on its way over both lanes.
struct EngineObject::ClipInWork {
  RenderOptions options;
  Napi::ThreadSafeFunction channel;
  std::shared_ptr<RenderControl> control;
  EventSink sink;
  Napi::Promise::Deferred deferred;
  Napi::ObjectReference self;  // of the engine
  std::unique_ptr<DenoisedClip> denoised;
};

Napi::Function EngineObject::define(Napi::Env env) {
  Napi::Function constructor = DefineClass(
      env, "NativeEngine",
      {InstanceMethod("info", &EngineObject::info), InstanceMethod("render", &EngineObject::render),
       InstanceMethod("record", &EngineObject::record),
       InstanceMethod("compare", &EngineObject::compare),
       InstanceMethod("cancel", &EngineObject::cancel),
       InstanceMethod("close", &EngineObject::close)});
  auto data = std::make_unique<InstanceData>();
  data->constructor = Napi::Persistent(constructor);
  env.SetInstanceData(data.release());
  return constructor;
}

Napi::Value EngineObject::create(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return translated(env, [&]() -> Napi::Value {
    const EngineOptions options = options_from_js(argument_object(info, 0, "options"));
    auto deferred = std::make_shared<Napi::Promise::Deferred>(env);
    auto noop = Napi::Function::New(env, [](const Napi::CallbackInfo&) {});
    auto channel = Napi::ThreadSafeFunction::New(env, noop, "tocafarm.load", 0, 1);
    auto lanes = std::make_shared<EngineLanes>();
    // Before the environment goes away the threads must be gone: they hold the device. Hooks run in
    // reverse order, so this one comes before the channel's own.
    env.AddCleanupHook([weak = std::weak_ptr<EngineLanes>(lanes)] {
      if (const auto alive = weak.lock()) alive->close();
    });
    LaneThread& lane = lanes->denoising();
    lane.post([options, deferred, channel, lanes]() mutable {
      const std::optional<Error> error = caught([&] { lanes->engine = Engine::load(options); });
      EngineInfo loaded = lanes->engine ? lanes->engine->info() : EngineInfo{};
      deliver(channel,
              [deferred, error, lanes = std::move(lanes), loaded](Napi::Env js, Napi::Function) {
                if (error) return deferred->Reject(to_js(js, *error).Value());
                Created created{lanes, loaded};
                auto& constructor = js.GetInstanceData<InstanceData>()->constructor;
                deferred->Resolve(constructor.New({Napi::External<Created>::New(js, &created)}));
              });
      channel.Release();
    });
    return deferred->Promise();
  });
}

EngineObject::EngineObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<EngineObject>(info) {
  if (info.Length() != 1 || !info[0].IsExternal()) {
    throw to_js(info.Env(),
                Error(ErrorCode::kInvalidArgument, "an engine is made by createEngine()"));
  }
  Created* created = info[0].As<Napi::External<Created>>().Data();
  lanes_ = created->lanes;
  engine_info_ = created->info;
}

EngineObject::~EngineObject() {
  if (lanes_) lanes_->close();
}

Napi::Value EngineObject::info(const Napi::CallbackInfo& info) {
  return info_to_js(info.Env(), engine_info_);
}

template <typename Work, typename ToValue>
Napi::Value EngineObject::promise_of(Napi::Env env, Napi::ThreadSafeFunction channel, Work work,
                                     ToValue to_value) {
  using Result = std::invoke_result_t<Work, Engine&, const RenderSignals&>;
  auto deferred = std::make_shared<Napi::Promise::Deferred>(env);
  auto self = std::make_shared<Napi::ObjectReference>(Napi::Persistent(Value()));
  self->SuppressDestruct();  // the last owner may be on a lane
  auto control = lanes_->new_control();
  ++running_;
  lanes_->denoising().post(
      [this, deferred, channel, self, control, work = std::move(work), to_value]() mutable {
        Result result{};
        const std::optional<Error> error =
            caught([&] { result = work(*lanes_->engine, control->signals()); });
        deliver(channel, [this, deferred, error, result = std::move(result), to_value, self](
                             Napi::Env js, Napi::Function) {
          --running_;
          self->Reset();
          if (error) return deferred->Reject(to_js(js, *error).Value());
          deferred->Resolve(to_value(js, result));
        });
        channel.Release();
      });
  return deferred->Promise();
}

void EngineObject::check_room(int others) const {
  if (closed_) throw Error(ErrorCode::kInvalidArgument, "the engine is closed");
  if (running_ > others) {
    throw Error(ErrorCode::kInvalidArgument,
                "the engine has " + std::to_string(running_) + " clips in work, at most " +
                    std::to_string(others) + " may be there before this one; wait for their end");
  }
}

Napi::Value EngineObject::render(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return translated(env, [&]() -> Napi::Value {
    check_room(kClipsMax - 1);
    RenderOptions options = render_options_from_js(argument_object(info, 0, "options"));
    if (!info[1].IsFunction())
      throw Error(ErrorCode::kInvalidArgument, "onEvent must be a function");
    auto channel =
        Napi::ThreadSafeFunction::New(env, info[1].As<Napi::Function>(), "tocafarm.render", 0, 1);
    auto control = lanes_->new_control();
    auto clip = std::make_shared<ClipInWork>(
        ClipInWork{std::move(options), channel, control, EventSink(channel, *control),
                   Napi::Promise::Deferred::New(env), Napi::Persistent(Value()), nullptr});
    clip->self.SuppressDestruct();  // the last owner may be on a lane
    ++running_;
    lanes_->denoising().post([this, clip] { denoise(clip); });
    auto render = Napi::Object::New(env);
    render.Set("result", clip->deferred.Promise());
    render.Set("cancel", method(env, "cancel", [control] { control->cancel(); }));
    render.Set("cut", method(env, "cut", [control] { control->cut(); }));
    render.Set("releaseFrames",
               method(env, "releaseFrames", [control] { control->release_frame_credit(); }));
    return render;
  });
}

void EngineObject::denoise(const std::shared_ptr<ClipInWork>& clip) {
  const std::optional<Error> error = caught([&] {
    clip->denoised = lanes_->engine->denoise(clip->options, clip->sink, clip->control->signals());
  });
  // The finishing lane closes after this one.
  if (error)
    settle(clip, error, {});
  else
    lanes_->finishing().post([this, clip] { finish(clip); });
}

void EngineObject::finish(const std::shared_ptr<ClipInWork>& clip) {
  RenderResult result;
  const std::optional<Error> error =
      caught([&] { result = lanes_->engine->finish(std::move(clip->denoised)); });
  settle(clip, error, result);
}

void EngineObject::settle(const std::shared_ptr<ClipInWork>& clip,
                          const std::optional<Error>& error, const RenderResult& result) {
  deliver(clip->channel, [this, clip, error, result](Napi::Env js, Napi::Function) {
    --running_;
    clip->self.Reset();
    if (error) return clip->deferred.Reject(to_js(js, *error).Value());
    clip->deferred.Resolve(result_to_js(js, result));
  });
  clip->channel.Release();
}

Napi::Value EngineObject::record(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return translated(env, [&]() -> Napi::Value {
    check_room(0);
    const RenderRequest request = request_from_js(argument_object(info, 0, "request"));
    const auto channel = progress_channel(env, info[1]);
    return promise_of(
        env, channel,
        [request, channel](Engine& engine, const RenderSignals& signals) {
          return engine.record(request, signals, progress_on(channel));
        },
        records_to_js);
  });
}

Napi::Value EngineObject::compare(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return translated(env, [&]() -> Napi::Value {
    check_room(0);
    const RenderRequest request = request_from_js(argument_object(info, 0, "request"));
    const std::vector<PolicySpec> policies = policies_from_js(info[1]);
    const auto channel = progress_channel(env, info[2]);
    return promise_of(
        env, channel,
        [request, policies, channel](Engine& engine, const RenderSignals& signals) {
          return engine.compare(request, policies, signals, progress_on(channel));
        },
        differences_to_js);
  });
}

void EngineObject::cancel(const Napi::CallbackInfo&) {
  lanes_->cancel();
}

Napi::Value EngineObject::close(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto deferred = Napi::Promise::Deferred::New(env);
  closed_ = true;
  lanes_->close();
  deferred.Resolve(env.Undefined());
  return deferred.Promise();
}

}  // namespace engine::bindings
