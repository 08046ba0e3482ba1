// nlohmann's parser with the bounds that a file from elsewhere needs: size, depth and doubled keys,
// of which the parser itself would silently keep the last.
#include "core/json.h"

#include <cstdint>
#include <set>
#include <vector>

#include "core/file_mapping.h"
#include "core/quote.h"
#include "engine/error.h"

namespace engine {
namespace {

[[noreturn]] void fail(const std::string& context, const std::string& what) {
  throw Error(ErrorCode::kInvalidCheckpoint, context + ": " + what);
}

// "[json.exception.parse_error.101] parse error at line 1, column 9: ..." without the bracket.
std::string message_of(const Json::exception& error) {
  const std::string text = error.what();
  const size_t bracket = text.find("] ");
  return bracket == std::string::npos ? text : text.substr(bracket + 2);
}

const Json* find_field(const Json& object, const char* key, const std::string& context) {
  if (!object.is_object())
    fail(context, "expected a JSON object, found " + object.dump(-1, ' ', true).substr(0, 80));
  const auto field = object.find(key);
  return field == object.end() || field->is_null() ? nullptr : &*field;
}

[[noreturn]] void fail_type(const Json& value, const char* key, const char* wanted,
                            const std::string& context) {
  fail(context, std::string("field ") + quote(key) + " must be " + wanted + ", found " +
                    value.dump(-1, ' ', true).substr(0, 80));
}

int64_t bounded_int(const Json& value, const char* key, const std::string& context, int64_t min,
                    int64_t max) {
  if (!value.is_number_integer()) fail_type(value, key, "an integer", context);
  const bool above = value.is_number_unsigned() && value.get<uint64_t>() > uint64_t{INT64_MAX};
  if (above || value.get<int64_t>() < min || value.get<int64_t>() > max) {
    fail(context, std::string("field ") + quote(key) + " is " + value.dump() + ", allowed is " +
                      std::to_string(min) + " to " + std::to_string(max));
  }
  return value.get<int64_t>();
}

}  // namespace

Json parse_json(std::string_view text, const std::string& context) {
  if (text.size() > kMaxJsonBytes) {
    fail(context, "JSON of " + std::to_string(text.size()) + " bytes, at most " +
                      std::to_string(kMaxJsonBytes) + " are read");
  }
  std::vector<std::set<std::string>> keys;  // of every object that is open
  const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > kMaxJsonDepth) {
      fail(context, "JSON nested deeper than " + std::to_string(kMaxJsonDepth));
    }
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!keys.back().insert(key).second) fail(context, "key " + quote(key) + " stands twice");
    }
    return true;
  };
  try {
    return Json::parse(text, watch);
  } catch (const Json::exception& error) {
    fail(context, message_of(error));
  }
}

Json read_json_file(const std::filesystem::path& file) {
  const FileMapping mapping(file);
  const auto bytes = mapping.bytes();
  return parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, file.string());
}

int64_t json_int(const Json& object, const char* key, const std::string& context, int64_t min,
                 int64_t max) {
  const Json* field = find_field(object, key, context);
  if (field == nullptr) fail(context, std::string("field ") + quote(key) + " is missing");
  return bounded_int(*field, key, context, min, max);
}

int64_t json_int_or(const Json& object, const char* key, int64_t fallback,
                    const std::string& context, int64_t min, int64_t max) {
  const Json* field = find_field(object, key, context);
  return field == nullptr ? fallback : bounded_int(*field, key, context, min, max);
}

double json_number_or(const Json& object, const char* key, double fallback,
                      const std::string& context) {
  const Json* field = find_field(object, key, context);
  if (field == nullptr) return fallback;
  if (!field->is_number()) fail_type(*field, key, "a number", context);
  return field->get<double>();
}

bool json_bool_or(const Json& object, const char* key, bool fallback, const std::string& context) {
  const Json* field = find_field(object, key, context);
  if (field == nullptr) return fallback;
  if (!field->is_boolean()) fail_type(*field, key, "true or false", context);
  return field->get<bool>();
}

std::string json_string_or(const Json& object, const char* key, const std::string& fallback,
                           const std::string& context) {
  const Json* field = find_field(object, key, context);
  if (field == nullptr) return fallback;
  if (!field->is_string()) fail_type(*field, key, "a string", context);
  return field->get<std::string>();
}

}  // namespace engine
