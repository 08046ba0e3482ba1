// The request in both directions: JavaScript's NativeRequest and the engine's RenderRequest. Fields
// in the order of addon-types.ts.
#pragma once

#include <napi.h>

#include "core/dtype.h"
#include "engine/engine.h"

namespace engine::bindings {

ModelConfigs configs_from_js(const Napi::Object& object);
RenderRequest request_from_js(const Napi::Object& object);
std::vector<PolicySpec> policies_from_js(const Napi::Value& value);
DType dtype_from_js(Napi::Env env, const std::string& name);

}  // namespace engine::bindings
