// docs/policies.md says what each was measured to do, and why these were taken.
#include "cache/presets.h"

#include <algorithm>
#include <array>

#include "core/quote.h"
#include "engine/error.h"

namespace engine {

namespace {

constexpr std::string_view kPrefix = "preset:";

struct Preset {
  const char* name;
  // Steps from one full step to the next, once the first fifth of the steps is over.
  const char* interval;
};

constexpr std::array kPresets{Preset{"preview", "8"}, Preset{"balanced", "4"},
                              Preset{"faithful", "2"}};

// A clip is made out in its first steps: they are computed, and what is saved is saved later.
int warm_steps(int steps) {
  return (steps + 4) / 5;
}

}  // namespace

PolicySpec resolve_preset(const PolicySpec& spec, const PolicyContext& context) {
  if (!spec.name.starts_with(kPrefix)) return spec;
  const std::string name = spec.name.substr(kPrefix.size());
  const auto found = std::find_if(kPresets.begin(), kPresets.end(),
                                  [&](const Preset& preset) { return name == preset.name; });
  if (found == kPresets.end()) {
    std::string message = "unknown preset " + quote(name) + "; known:";
    for (const std::string& known : preset_names()) message += " " + known;
    throw Error(ErrorCode::kInvalidArgument, message);
  }
  PolicySpec policy{.name = "fora",
                    .options = {{"interval", found->interval},
                                {"warm", std::to_string(warm_steps(context.steps))}}};
  for (const auto& [option, value] : spec.options) policy.options[option] = value;
  return policy;
}

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const Preset& preset : kPresets) names.emplace_back(preset.name);
  return names;
}

}  // namespace engine
