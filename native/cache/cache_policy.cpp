// The table of policies.
#include "cache/cache_policy.h"

#include <optional>
#include <utility>

#include "cache/policies.h"
#include "cache/presets.h"
#include "core/check.h"
#include "core/quote.h"
#include "engine/error.h"

namespace engine {

namespace {

// What a policy decides about, and so which it can be composed with.
enum class Part { kWhole, kTrunk, kModules };

struct Entry {
  const char* name;
  Part part;
  std::unique_ptr<CachePolicy> (*make)(PolicyOptions&, const PolicyContext&);
};

constexpr Entry kPolicies[] = {
    {"none", Part::kWhole, make_none_policy},
    {"steps", Part::kWhole, make_steps_policy},
    {"fora", Part::kModules, make_fora_policy},
    {"toca", Part::kModules, make_toca_policy},
    {"toca-shared", Part::kWhole, make_toca_shared_policy},
    {"pab", Part::kModules, make_pab_policy},
    {"duca", Part::kWhole, make_duca_policy},
    {"taylorseer", Part::kModules, make_taylorseer_policy},
    {"taylorseer_lite", Part::kTrunk, make_taylorseer_lite_policy},
    {"speca", Part::kWhole, make_speca_policy},
    {"clusca", Part::kModules, make_clusca_policy},
    {"mask", Part::kTrunk, make_mask_policy},
    {"module_mask", Part::kModules, make_module_mask_policy},
    {"magcache", Part::kTrunk, make_magcache_policy},
    {"teacache", Part::kTrunk, make_teacache_policy},
    {"adacache", Part::kTrunk, make_adacache_policy},
    {"easycache", Part::kTrunk, make_easycache_policy},
    {"fbcache", Part::kTrunk, make_fbcache_policy},
    {"dbcache", Part::kTrunk, make_dbcache_policy},
    {"delta_dit", Part::kTrunk, make_delta_dit_policy},
    {"tgate", Part::kWhole, make_tgate_policy},
    {"fastercache", Part::kWhole, make_fastercache_policy},
};

// " toca fora"
std::string names_of(std::optional<Part> part) {
  std::string names;
  for (const Entry& entry : kPolicies) {
    if (!part || entry.part == *part) names += std::string(" ") + entry.name;
  }
  return names;
}

const Entry& entry_of(const std::string& name) {
  for (const Entry& entry : kPolicies) {
    if (name == entry.name) return entry;
  }
  throw Error(ErrorCode::kInvalidArgument,
              "unknown policy " + quote(name) + "; known:" + names_of(std::nullopt));
}

// The options that are written "name.option", without the name.
PolicySpec own_spec(const PolicySpec& pair, const std::string& name) {
  PolicySpec own{name, {}};
  const std::string prefix = name + ".";
  for (const auto& [option, value] : pair.options) {
    if (option.starts_with(prefix)) own.options[option.substr(prefix.size())] = value;
  }
  return own;
}

// An option without a policy's name must be known to just one of the two, and not be given with it
// as well.
void check_shared(const PolicySpec& pair, const PolicyOptions::Map& shared,
                  const PolicyOptions& first, const PolicyOptions& second) {
  const size_t plus = pair.name.find('+');
  const std::string left = pair.name.substr(0, plus), right = pair.name.substr(plus + 1);
  const auto refuse = [&](const std::string& what) {
    throw Error(ErrorCode::kInvalidArgument, "policy " + pair.name + what);
  };
  for (const auto& [name, value] : shared) {
    const bool of_left = first.knows(name), of_right = second.knows(name);
    if (of_left && of_right) {
      refuse(": both know the option " + quote(name) + "; write " + left + "." + name + " or " +
             right + "." + name);
    }
    if (!of_left && !of_right) {
      refuse(" has no option " + quote(name) + "; known to " + left + ": " + first.known() +
             "; known to " + right + ": " + second.known());
    }
    const std::string whole = (of_left ? left : right) + "." + name;
    if (pair.options.contains(whole)) {
      refuse(": option " + name + " is given as " + whole + " too; give it once");
    }
  }
}

// "A+B"
std::unique_ptr<CachePolicy> make_pair(const PolicySpec& pair, const PolicyContext& context) {
  const size_t plus = pair.name.find('+');
  const Entry& trunk = entry_of(pair.name.substr(0, plus));
  const Entry& modules = entry_of(pair.name.substr(plus + 1));
  if (trunk.part != Part::kTrunk || modules.part != Part::kModules) {
    throw Error(ErrorCode::kInvalidArgument,
                "policy " + quote(pair.name) + " must be one for the trunk (one of" +
                    names_of(Part::kTrunk) + ") + one for the modules (one of" +
                    names_of(Part::kModules) + ")");
  }
  const PolicySpec trunk_spec = own_spec(pair, trunk.name);
  const PolicySpec modules_spec = own_spec(pair, modules.name);
  PolicyOptions::Map shared = pair.options;
  std::erase_if(shared, [&](const auto& option) {
    return option.first.starts_with(std::string(trunk.name) + ".") ||
           option.first.starts_with(std::string(modules.name) + ".");
  });
  PolicyOptions trunk_options(trunk_spec, shared), modules_options(modules_spec, shared);
  auto trunk_policy = trunk.make(trunk_options, context);
  auto modules_policy = modules.make(modules_options, context);
  check_shared(pair, shared, trunk_options, modules_options);
  return compose_policies(context, std::move(trunk_policy), std::move(modules_policy));
}

// Takes the option that every policy has out of the others.
DType take_cache_dtype(PolicySpec& spec) {
  constexpr const char* kName = "cache_dtype";
  constexpr DType kTypes[] = {DType::kF32, DType::kBF16, DType::kF8};
  const auto given = spec.options.find(kName);
  if (given == spec.options.end()) return DType::kF32;
  PolicyOptions options(PolicySpec{spec.name, {*given}});
  spec.options.erase(given);
  return kTypes[options.choice(kName, 0, {"fp32", "bf16", "fp8"})];
}

std::unique_ptr<CachePolicy> make_named(const PolicySpec& spec, const PolicyContext& context) {
  if (spec.name.find('+') != std::string::npos) return make_pair(spec, context);
  PolicyOptions options(spec);
  return entry_of(spec.name).make(options, context);
}

}  // namespace

CacheNeeds CachePolicy::kept_needs() const {
  CacheNeeds kept = needs();
  if (kept.features || kept.rounds_trunk()) kept.dtype = kept_dtype_;
  return kept;
}

std::unique_ptr<CachePolicy> make_policy(const PolicySpec& asked, const PolicyContext& context) {
  check(context.steps > 0 && context.depth > 0 && context.tokens > 0,
        "a policy needs the number of steps, layers and tokens");
  PolicySpec spec = resolve_preset(asked, context);
  const DType dtype = take_cache_dtype(spec);
  auto policy = make_named(spec, context);
  policy->keep_as(dtype);
  return policy;
}

const std::vector<std::string>& policy_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const Entry& entry : kPolicies) list.emplace_back(entry.name);
    return list;
  }();
  return names;
}

}  // namespace engine
