// Policies by intent: who does not want to choose names "preset:balanced" and gets what was found
// good for the model.
#pragma once

#include <string>
#include <vector>

#include "cache/cache_policy.h"

namespace engine {

// The policy that "preset:NAME" stands for in a context, with the options that were given added to
// it or put in place of its own. Any other spec is returned as it is. Throws
// Error(kInvalidArgument) for an unknown preset, naming the known ones.
PolicySpec resolve_preset(const PolicySpec& spec, const PolicyContext& context);

// What a user of a preset should know: that it was measured on other renders. Empty for any other
// spec.
std::vector<std::string> preset_warnings(const PolicySpec& spec, const PolicyContext& context);

// In the order of documentation, from the fastest: preview, balanced, faithful.
std::vector<std::string> preset_names();

}  // namespace engine
