#include "golden/stdit3_policy.h"

#include <array>
#include <utility>

#include "core/quote.h"
#include "engine/error.h"

namespace engine {

namespace {

using Names = std::array<const char*, 2>;  // published, ours

constexpr std::array kScores{Names{"attention", "entropy"}, Names{"norm", "norm"},
                             Names{"similarity", "similarity"}};
constexpr std::array kSchedules{Names{"ToCa", "toca"}, Names{"constant", "constant"},
                                Names{"linear", "linear"}, Names{"exp", "exp"},
                                Names{"layerwise", "layerwise"}};
constexpr std::array kPeriods{Names{"spat-attn", "spatial_interval"},
                              Names{"temp-attn", "temporal_interval"},
                              Names{"cross-attn", "cross_interval"}, Names{"mlp", "mlp_interval"}};

template <size_t N>
std::string translate(const std::array<Names, N>& table, const std::string& published,
                      const char* setting, const std::string& context) {
  std::string known;
  for (const Names& names : table) {
    if (published == names[0]) return names[1];
    known += std::string(" ") + names[0];
  }
  throw Error(ErrorCode::kUnsupported, context + ": " + setting + " " + quote(published) +
                                           " is not supported; known:" + known);
}

// A number as written in the case, with all its digits.
std::string number(const Json& object, const char* key, const char* fallback,
                   const std::string& context) {
  json_number_or(object, key, 0.0, context);  // its type is checked here
  const auto found = object.find(key);
  return found == object.end() ? fallback : found->dump();
}

// The steps that are full whatever the periods must be the first ones.
int warm_steps(const Json& cache, const std::string& context) {
  const auto found = cache.find("always_full_steps");
  if (found == cache.end()) return 3;
  bool valid = found->is_array();
  for (size_t i = 0; valid && i < found->size(); ++i) valid = (*found)[i] == static_cast<int>(i);
  if (!valid) {
    throw Error(ErrorCode::kUnsupported,
                context + ": always_full_steps must count up from 0 without a gap");
  }
  return static_cast<int>(found->size());
}

}  // namespace

PolicySpec golden_stdit3_policy(const GoldenCase& golden, const char* field) {
  const std::string context = (golden.folder() / "case.json").string();
  const auto found = golden.json().find(field);
  if (found == golden.json().end() || found->is_null()) return {};
  const Json& cache = *found;
  if (!cache.is_object()) {
    throw Error(ErrorCode::kInvalidCheckpoint,
                context + ": " + quote(field) + " must be an object or null");
  }
  const std::string force = json_string_or(cache, "force_fresh", "global", context);
  if (force != "global") {
    throw Error(ErrorCode::kUnsupported,
                context + ": force_fresh " + quote(force) + " is not supported; known: global");
  }
  PolicySpec policy;
  policy.name = "toca";
  auto& options = policy.options;
  options["fidelity"] = "upstream";
  options["score"] = translate(kScores, json_string_or(cache, "cache_type", "attention", context),
                               "cache_type", context);
  options["schedule"] =
      translate(kSchedules, json_string_or(cache, "ratio_scheduler", "ToCa", context),
                "ratio_scheduler", context);
  options["fresh_ratio"] = number(cache, "fresh_ratio", "0.1", context);
  options["staleness_weight"] = number(cache, "soft_fresh_weight", "0.25", context);
  options["staleness_period"] = number(cache, "fresh_threshold", "3", context);
  options["warm"] = std::to_string(warm_steps(cache, context));
  const auto periods = cache.find("periods");
  for (const Names& names : kPeriods) {
    if (periods == cache.end() || !periods->is_object() || !periods->contains(names[0])) continue;
    options[names[1]] = std::to_string(json_int(*periods, names[0], context, 1, kMaxSteps));
  }
  return policy;
}

}  // namespace engine
