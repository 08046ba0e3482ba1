#include "bindings/values.h"

#include <cmath>
#include <limits>

namespace engine::bindings {
namespace {

[[noreturn]] void refuse(Napi::Env env, const std::string& message) {
  throw to_js(env, Error(ErrorCode::kInvalidArgument, message));
}

Napi::Value field(const Napi::Object& object, const char* key) {
  return object.Get(key);
}

}  // namespace

Napi::Error to_js(Napi::Env env, const Error& error) {
  Napi::Error js = Napi::Error::New(env, error.what());
  js.Value().Set("code", Napi::String::New(env, error_code_name(error.code())));
  return js;
}

Napi::Object get_object(const Napi::Object& object, const char* key) {
  const Napi::Value value = field(object, key);
  if (!value.IsObject()) refuse(object.Env(), std::string(key) + " must be an object");
  return value.As<Napi::Object>();
}

std::string get_string(const Napi::Object& object, const char* key) {
  const Napi::Value value = field(object, key);
  if (!value.IsString()) refuse(object.Env(), std::string(key) + " must be a string");
  return value.As<Napi::String>().Utf8Value();
}

std::string get_string_or_null(const Napi::Object& object, const char* key) {
  if (field(object, key).IsNull()) return "";
  return get_string(object, key);
}

double get_number(const Napi::Object& object, const char* key) {
  const Napi::Value value = field(object, key);
  if (!value.IsNumber()) refuse(object.Env(), std::string(key) + " must be a number");
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!std::isfinite(number)) refuse(object.Env(), std::string(key) + " must be finite");
  return number;
}

int get_int(const Napi::Object& object, const char* key) {
  const double number = get_number(object, key);
  const bool fits =
      number >= std::numeric_limits<int>::min() && number <= std::numeric_limits<int>::max();
  if (!fits || number != std::floor(number)) {
    refuse(object.Env(), std::string(key) + " must be an integer of 32 bits");
  }
  return static_cast<int>(number);
}

uint64_t get_uint64(const Napi::Object& object, const char* key) {
  const Napi::Value value = field(object, key);
  if (!value.IsBigInt()) refuse(object.Env(), std::string(key) + " must be a bigint");
  bool lossless = false;
  const uint64_t number = value.As<Napi::BigInt>().Uint64Value(&lossless);
  if (!lossless) refuse(object.Env(), std::string(key) + " must be between 0 and 2^64 - 1");
  return number;
}

bool get_bool(const Napi::Object& object, const char* key) {
  const Napi::Value value = field(object, key);
  if (!value.IsBoolean()) refuse(object.Env(), std::string(key) + " must be true or false");
  return value.As<Napi::Boolean>().Value();
}

Napi::Object argument_object(const Napi::CallbackInfo& info, size_t index, const char* name) {
  const Napi::Value value = info[index];
  if (!value.IsObject()) refuse(info.Env(), std::string(name) + " must be an object");
  return value.As<Napi::Object>();
}

std::string argument_string(const Napi::CallbackInfo& info, size_t index, const char* name) {
  const Napi::Value value = info[index];
  if (!value.IsString()) refuse(info.Env(), std::string(name) + " must be a string");
  return value.As<Napi::String>().Utf8Value();
}

std::vector<std::string> argument_strings(const Napi::CallbackInfo& info, size_t index,
                                          const char* name) {
  const Napi::Value value = info[index];
  if (!value.IsArray()) refuse(info.Env(), std::string(name) + " must be a list");
  const auto list = value.As<Napi::Array>();
  std::vector<std::string> strings;
  for (uint32_t i = 0; i < list.Length(); ++i) {
    const Napi::Value each = list.Get(i);
    if (!each.IsString()) refuse(info.Env(), std::string(name) + " must be strings");
    strings.push_back(each.As<Napi::String>().Utf8Value());
  }
  return strings;
}

}  // namespace engine::bindings
