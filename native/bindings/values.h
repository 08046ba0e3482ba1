// Reading what JavaScript passes: every getter checks, and throws a TypeError with code
// INVALID_ARGUMENT naming the field. Nothing that JavaScript passes can crash the process.
#pragma once

#include <napi.h>

#include <cstdint>
#include <string>
#include <vector>

#include "engine/error.h"

namespace engine::bindings {

// An Error object with the code and the message of `error`.
Napi::Error to_js(Napi::Env env, const Error& error);

Napi::Object get_object(const Napi::Object& object, const char* key);
std::string get_string(const Napi::Object& object, const char* key);
// null gives "".
std::string get_string_or_null(const Napi::Object& object, const char* key);
double get_number(const Napi::Object& object, const char* key);
// An integer that fits an int.
int get_int(const Napi::Object& object, const char* key);
uint64_t get_uint64(const Napi::Object& object, const char* key);  // a BigInt
bool get_bool(const Napi::Object& object, const char* key);
// Argument `index` of a call, as an object, a string or a function.
Napi::Object argument_object(const Napi::CallbackInfo& info, size_t index, const char* name);
std::string argument_string(const Napi::CallbackInfo& info, size_t index, const char* name);
std::vector<std::string> argument_strings(const Napi::CallbackInfo& info, size_t index,
                                          const char* name);

// Runs `body`; an engine::Error becomes a JavaScript exception with its code, anything else one
// with code INTERNAL.
template <typename Body>
auto translated(Napi::Env env, Body&& body) -> decltype(body()) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (const Error& error) {
    throw to_js(env, error);
  } catch (const std::bad_alloc&) {
    throw to_js(env, Error(ErrorCode::kOutOfMemory, "the host is out of memory"));
  } catch (const std::exception& error) {
    throw to_js(env, Error(ErrorCode::kInternal, error.what()));
  }
}

}  // namespace engine::bindings
