#include "golden/image_policy.h"

#include <span>

#include "core/quote.h"
#include "engine/error.h"

namespace engine {

namespace {

// A published name and the options that say the same.
struct Translation {
  const char* published;
  std::map<std::string, std::string> options;
};

using Translations = std::vector<Translation>;

const Translations& scores() {
  static const Translations list{
      {"attention", {}}, {"norm", {{"score", "norm"}}}, {"similarity", {{"score", "similarity"}}}};
  return list;
}

// Without a schedule of modules every one of them gets the plain share.
const Translations& pixart_schedules() {
  static const Translations list{
      {"ToCa", {}},
      {"constant",
       {{"layer_slope", "0"}, {"step_slope", "0"}, {"cross_factor", "1"}, {"mlp_factor", "1"}}},
      {"linear",
       {{"layer_slope", "0"}, {"step_slope", "0.9"}, {"cross_factor", "1"}, {"mlp_factor", "1"}}},
      {"layerwise",
       {{"layer_slope", "0.9"}, {"step_slope", "0"}, {"cross_factor", "1"}, {"mlp_factor", "1"}}}};
  return list;
}

void translate(const Translations& table, const std::string& published, const char* setting,
               const std::string& context, PolicySpec& spec) {
  std::string known;
  for (const Translation& each : table) {
    if (published == each.published) {
      spec.options.insert(each.options.begin(), each.options.end());
      return;
    }
    known += std::string(" ") + each.published;
  }
  throw Error(ErrorCode::kUnsupported, context + ": " + setting + " " + quote(published) +
                                           " is not supported; known:" + known);
}

// A number as written in the case, with all its digits.
std::string number(const Json& object, const char* key, const std::string& context) {
  json_number_or(object, key, 0.0, context);  // its type is checked here
  const auto found = object.find(key);
  if (found != object.end()) return found->dump();
  throw Error(ErrorCode::kInvalidCheckpoint, context + ": cache." + key + " is missing");
}

struct CacheSettings {
  const Json* json = nullptr;
  std::string context;
  std::string schedule;
};

CacheSettings read_cache(const GoldenCase& golden) {
  CacheSettings cache;
  cache.context = (golden.folder() / "case.json").string();
  const auto found = golden.json().find("cache");
  if (found == golden.json().end() || !found->is_object()) {
    throw Error(ErrorCode::kInvalidCheckpoint, cache.context + ": \"cache\" must be an object");
  }
  cache.json = &*found;
  cache.schedule = json_string_or(*found, "ratio_scheduler", "", cache.context);
  const std::string force = json_string_or(*found, "force_fresh", "global", cache.context);
  if (force == "global") return cache;
  throw Error(ErrorCode::kUnsupported,
              cache.context + ": force_fresh " + quote(force) + " is not supported; known: global");
}

PolicySpec spec_of(const CacheSettings& cache, const Translations& schedules) {
  const Json& json = *cache.json;
  const std::string& context = cache.context;
  const int64_t interval = json_int(json, "fresh_threshold", context, 1, kMaxSteps);
  if (json_number_or(json, "fresh_ratio", 0.0, context) == 0) {
    if (interval == 1) return {};
    return {"fora", {{"interval", std::to_string(interval)}}};
  }
  PolicySpec spec{"toca", {{"fidelity", "upstream"}, {"interval", std::to_string(interval)}}};
  spec.options["fresh_ratio"] = number(json, "fresh_ratio", context);
  spec.options["staleness_weight"] = number(json, "soft_fresh_weight", context);
  translate(scores(), json_string_or(json, "cache_type", "attention", context), "cache_type",
            context, spec);
  translate(schedules, cache.schedule, "ratio_scheduler", context, spec);
  return spec;
}

}  // namespace

GoldenImagePolicy golden_pixart_policy(const GoldenCase& golden) {
  return {.spec = spec_of(read_cache(golden), pixart_schedules()),
          .published = PublishedSettings::kPixartAlpha};
}

GoldenImagePolicy golden_dit_policy(const GoldenCase& golden) {
  const CacheSettings cache = read_cache(golden);
  const bool ddpm = cache.schedule == "ToCa-ddpm250";
  return {.spec = spec_of(cache, {{"ToCa-ddim50", {}}, {"ToCa-ddpm250", {}}}),
          .published = ddpm ? PublishedSettings::kDitDdpm : PublishedSettings::kDitDdim};
}

}  // namespace engine
