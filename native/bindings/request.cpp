#include "bindings/request.h"

#include "bindings/values.h"

namespace engine::bindings {
namespace {

// More options than any policy has: what is beyond is a mistake or an attack.
constexpr uint32_t kMaxPolicyOptions = 64;

PolicySpec policy_from_js(const Napi::Object& object) {
  PolicySpec spec;
  spec.name = get_string(object, "name");
  const Napi::Object options = get_object(object, "options");
  const Napi::Array names = options.GetPropertyNames();
  if (names.Length() > kMaxPolicyOptions) {
    throw Error(ErrorCode::kInvalidArgument,
                "policy has " + std::to_string(names.Length()) + " options; at most " +
                    std::to_string(kMaxPolicyOptions) + " are allowed");
  }
  for (uint32_t i = 0; i < names.Length(); ++i) {
    const std::string name = names.Get(i).As<Napi::String>().Utf8Value();
    spec.options[name] = get_string(options, name.c_str());
  }
  return spec;
}

}  // namespace

ModelConfigs configs_from_js(const Napi::Object& object) {
  return {.transformer = get_string(object, "transformer"),
          .vae = get_string(object, "vae"),
          .text_encoder = get_string(object, "textEncoder"),
          .model_index = get_string(object, "modelIndex")};
}

std::vector<PolicySpec> policies_from_js(const Napi::Value& value) {
  if (!value.IsArray()) throw Error(ErrorCode::kInvalidArgument, "policies must be an array");
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<PolicySpec> policies;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value each = array.Get(i);
    if (!each.IsObject()) throw Error(ErrorCode::kInvalidArgument, "a policy must be an object");
    policies.push_back(policy_from_js(each.As<Napi::Object>()));
  }
  return policies;
}

RenderRequest request_from_js(const Napi::Object& object) {
  RenderRequest request;
  request.prompt = get_string(object, "prompt");
  request.frames = get_int(object, "frames");
  request.height = get_int(object, "height");
  request.width = get_int(object, "width");
  request.fps = get_number(object, "fps");
  request.steps = get_int(object, "steps");
  request.guidance = get_number(object, "guidance");
  request.seed = get_uint64(object, "seed");
  request.sampler = get_string(object, "sampler");
  request.policy = policy_from_js(get_object(object, "policy"));
  request.text_tokens_nominal = get_int(object, "textTokensNominal");
  return request;
}

DType dtype_from_js(Napi::Env env, const std::string& name) {
  if (name == "fp32") return DType::kF32;
  if (name == "bf16") return DType::kBF16;
  throw to_js(
      env, Error(ErrorCode::kInvalidArgument, "dtype " + name + " is unknown; use fp32 or bf16"));
}

}  // namespace engine::bindings
