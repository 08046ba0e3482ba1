// MagCache (arXiv 2506.09045): the residual of the trunk changes its magnitude from step to step by
// a ratio that hardly depends on prompt and seed, so that what reuse would cost is known
// beforehand: steps are skipped while the error that the ratios add up to stays small.
#include <algorithm>
#include <array>
#include <cmath>

#include "cache/policies.h"
#include "engine/error.h"

namespace engine {

namespace {

// Squares of the ratios of Open-Sora 1.2 for steps 1 to 29 of 30, as calibrated by the authors
// (caching-policies.md, C).
constexpr std::array<double, 29> kOpenSoraSquares{
    .93359, .96484, .99609, 1,      .99609, .99609, .99219, 1,      1,      .99609,
    .99219, 1,      .99219, .99609, .99219, .99609, .99609, .99609, .99219, .99219,
    .99219, .98828, .98828, .98438, .98438, .97656, .97656, .96484, .96484};

struct MagcacheSettings {
  double delta = 0;
  int max_skips = 0;
  double keep = 0;
};

std::vector<double> open_sora_ratios() {
  std::vector<double> ratios;
  for (const double square : kOpenSoraSquares) ratios.push_back(std::sqrt(square));
  return ratios;
}

// The ratio of a step >= 1, where a curve of another number of steps has it.
double ratio_at(const std::vector<double>& ratios, int step, int steps) {
  const auto last = static_cast<double>(ratios.size() - 1);
  const double place = steps <= 2 ? 0 : (step - 1) * last / (steps - 2);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, ratios.size() - 1);
  return std::lerp(ratios[below], ratios[above], place - std::floor(place));
}

class MagcachePolicy : public CachePolicy {
 public:
  MagcachePolicy(const PolicyContext& context, const MagcacheSettings& settings,
                 const std::vector<double>& ratios)
      : context_(context), calibrated_steps_(static_cast<int>(ratios.size()) + 1) {
    double magnitude = 1, error = 0;
    int skips = 0;
    for (int step = 0; step < context.steps; ++step) {
      bool skip = step > 0 && step >= static_cast<int>(settings.keep * context.steps);
      if (skip) {
        magnitude *= ratio_at(ratios, step, context.steps);
        error += std::abs(1 - magnitude);
        ++skips;
        skip = error <= settings.delta && skips <= settings.max_skips;
      }
      skipped_.push_back(skip);
      if (skip) continue;
      magnitude = 1;
      error = 0;
      skips = 0;
    }
  }

  ModuleDecision decide(const ModuleSite&) const override {
    return {Decision::kRefresh, context_.tokens};
  }
  TrunkDecision trunk(int step) const override {
    const bool skip = step < context_.steps && skipped_[static_cast<size_t>(step)];
    return skip ? TrunkDecision::kReuse : TrunkDecision::kRun;
  }
  bool is_refresh_point(int step) const override { return trunk(step) == TrunkDecision::kRun; }
  CacheNeeds needs() const override { return {.trunk = TrunkKept::kResidual}; }

  std::vector<std::string> warnings() const override {
    if (context_.steps == calibrated_steps_) return {};
    return {"policy magcache: its curve was calibrated at " + std::to_string(calibrated_steps_) +
            " steps and is interpolated for " + std::to_string(context_.steps) +
            ": quality is not what was published"};
  }

 private:
  PolicyContext context_;
  int calibrated_steps_;
  std::vector<bool> skipped_;  // [steps]
};

// An error of one is no picture any more; ratios beyond ten are no curve of a diffusion model.
constexpr double kMaxDelta = 1.0;
constexpr double kMaxRatio = 10.0;

}  // namespace

std::unique_ptr<CachePolicy> make_magcache_policy(PolicyOptions& options,
                                                  const PolicyContext& context) {
  MagcacheSettings settings;
  settings.delta = options.number("delta", 0.06, 0, kMaxDelta);
  settings.max_skips = options.integer("max_skips", 2, 0, kMaxSteps);
  settings.keep = options.number("keep", 0.2, 0, 1);
  std::vector<double> ratios = options.numbers("ratios", 0, kMaxRatio, kMaxSteps - 1);
  options.finish();
  if (ratios.empty() && context.published != PublishedSettings::kOpenSora) {
    throw Error(ErrorCode::kInvalidArgument,
                "policy magcache: the published curve is of Open-Sora 1.2 and says nothing of this "
                "model; calibrate one and give it as option ratios");
  }
  if (ratios.empty()) ratios = open_sora_ratios();
  return std::make_unique<MagcachePolicy>(context, settings, ratios);
}

}  // namespace engine
