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
  int interval;
};

constexpr std::array kPresets{Preset{"preview", 8}, Preset{"balanced", 4}, Preset{"faithful", 2}};

// What docs/policies.md measures them on is video with so many steps.
constexpr int kMeasuredSteps = 30;

// A clip is made out in its first steps: they are computed, and what is saved is saved later.
int warm_steps(int steps) {
  return (steps + 4) / 5;
}

// Whole steps are left out, which keeps one residual instead of every module's output.
PolicySpec of_video(int steps, int interval) {
  const int warm = warm_steps(steps);
  std::string compute = "0";
  if (warm > 1) compute.append("-").append(std::to_string(warm - 1));
  for (int step = warm; step < steps; ++step) {
    if (step % interval == 0) compute.append(",").append(std::to_string(step));
  }
  return {.name = "mask", .options = {{"compute", compute}}};
}

PolicySpec of_images(int steps, int interval) {
  return {.name = "fora",
          .options = {{"interval", std::to_string(interval)},
                      {"warm", std::to_string(warm_steps(steps))}}};
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
  PolicySpec policy = context.published == PublishedSettings::kOpenSora
                          ? of_video(context.steps, found->interval)
                          : of_images(context.steps, found->interval);
  for (const auto& [option, value] : spec.options) policy.options[option] = value;
  return policy;
}

std::vector<std::string> preset_warnings(const PolicySpec& spec, const PolicyContext& context) {
  if (!spec.name.starts_with(kPrefix)) return {};
  const std::string preset = "preset " + spec.name.substr(kPrefix.size());
  if (context.published != PublishedSettings::kOpenSora) {
    return {preset + " was measured on video alone: see with tocafarm compare what it does here"};
  }
  if (context.steps == kMeasuredSteps) return {};
  return {preset + " was measured with " + std::to_string(kMeasuredSteps) + " steps, not with " +
          std::to_string(context.steps) + ": see with tocafarm compare what it does here"};
}

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const Preset& preset : kPresets) names.emplace_back(preset.name);
  return names;
}

}  // namespace engine
