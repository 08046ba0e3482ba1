// The table of policies.
#include "cache/cache_policy.h"

#include "cache/policies.h"
#include "cache/presets.h"
#include "core/check.h"
#include "core/quote.h"
#include "engine/error.h"

namespace engine {

namespace {

struct Entry {
  const char* name;
  std::unique_ptr<CachePolicy> (*make)(PolicyOptions&, const PolicyContext&);
};

constexpr Entry kPolicies[] = {
    {"none", make_none_policy},    // everything computed
    {"steps", make_steps_policy},  // fewer steps
    {"fora", make_fora_policy},    // arXiv 2407.01425
    {"toca", make_toca_policy},    // arXiv 2410.05317
    {"pab", make_pab_policy},      // arXiv 2408.12588
};

}  // namespace

std::unique_ptr<CachePolicy> make_policy(const PolicySpec& asked, const PolicyContext& context) {
  check(context.steps > 0 && context.depth > 0 && context.tokens > 0,
        "a policy needs the number of steps, layers and tokens");
  const PolicySpec spec = resolve_preset(asked, context);
  for (const Entry& entry : kPolicies) {
    if (spec.name != entry.name) continue;
    PolicyOptions options(spec);
    return entry.make(options, context);
  }
  std::string message = "unknown policy " + quote(spec.name) + "; known:";
  for (const std::string& name : policy_names()) message += " " + name;
  throw Error(ErrorCode::kInvalidArgument, message);
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
