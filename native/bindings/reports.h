// Plans and events as plain JavaScript objects, in the order of addon-types.ts.
#pragma once

#include <napi.h>

#include <cstdint>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace engine::bindings {

Napi::Object traits_to_js(Napi::Env env, const ModelTraits& traits);
Napi::Object plan_to_js(Napi::Env env, const Plan& plan);
Napi::Object info_to_js(Napi::Env env, const EngineInfo& info);
Napi::Object result_to_js(Napi::Env env, const RenderResult& result);
Napi::Array records_to_js(Napi::Env env, const std::vector<StepRecord>& steps);
Napi::Array differences_to_js(Napi::Env env, const std::vector<FrameDifference>& differences);
Napi::Object stage_event_to_js(Napi::Env env, Stage stage, double seconds);
// `indices`: what the report's views pointed at, copied when the event left the engine's thread;
// one entry a module.
struct OwnedIndices {
  int64_t rows = 0;
  std::vector<int32_t> values;  // [rows, tokens]
};
Napi::Object step_event_to_js(Napi::Env env, const StepReport& report,
                              const std::vector<OwnedIndices>& indices);
Napi::Object checkpoint_event_to_js(Napi::Env env, const RenderCheckpoint& checkpoint);
Napi::Object checkpoint_failed_event_to_js(Napi::Env env, int step, const std::string& message);
// Takes over `rgb`.
Napi::Object frames_event_to_js(Napi::Env env, int first, const Shape& shape,
                                std::vector<uint8_t>&& rgb);

}  // namespace engine::bindings
