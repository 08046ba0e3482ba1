// Config files: JSON with errors that name the file and the field.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace engine {

using Json = nlohmann::json;

// Throws Error(kNotFound) or Error(kInvalidCheckpoint) naming the file and the place. At most 64
// MiB, depth 64.
Json read_json_file(const std::filesystem::path& file);

// A field of a config. `context` names the file in errors. The typed getters throw
// Error(kInvalidCheckpoint) when the field is missing, of another type, or outside [min, max].
int64_t json_int(const Json& object, const char* key, const std::string& context, int64_t min,
                 int64_t max);
int64_t json_int_or(const Json& object, const char* key, int64_t fallback,
                    const std::string& context, int64_t min, int64_t max);
double json_number_or(const Json& object, const char* key, double fallback,
                      const std::string& context);
bool json_bool_or(const Json& object, const char* key, bool fallback, const std::string& context);
std::string json_string_or(const Json& object, const char* key, const std::string& fallback,
                           const std::string& context);

}  // namespace engine
