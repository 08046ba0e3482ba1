// Config files: JSON with errors that name the file and the field.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace engine {

using Json = nlohmann::json;

// Bounds of any JSON text that is read: no published config or header comes near them.
inline constexpr size_t kMaxJsonBytes = size_t{64} << 20;
inline constexpr int kMaxJsonDepth = 64;

// Strict JSON: one value, UTF-8, no key twice in an object. Throws Error(kInvalidCheckpoint) that
// begins with `context` and names line and column.
Json parse_json(std::string_view text, const std::string& context);

// Throws Error(kNotFound | kIo) or Error(kInvalidCheckpoint) naming the file and the place. At most
// 64 MiB, depth 64.
Json read_json_file(const std::filesystem::path& file);

// A field of a config. `context` names the file in errors. The typed getters throw
// Error(kInvalidCheckpoint) when the field is missing, of another type, or outside [min, max]. The
// `_or` getters give the fallback for a missing or null field.
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
