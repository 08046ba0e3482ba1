// Pyramid Attention Broadcast (arXiv 2408.12588): inside a window of times, where the features of
// attention hardly change, each kind of attention is computed at multiples of its own interval and
// reused in between; outside of the window everything is computed.
//
// The published rule for MLPs names three times of one timetable (864, 788 and 676: 480p, 51
// frames, 30 steps), after each of which the first layers skip two steps. They are the steps at a
// quarter, a half and three quarters of the window there (13, 17 and 21 of 9..25), and so they are
// found at every other size and number of steps, where those times do not occur.
#include <algorithm>
#include <vector>

#include "cache/policies.h"
#include "core/counted.h"

namespace engine {

namespace {

struct PabSettings {
  int spatial_interval = 2;   // self-attention of spatial and joint blocks
  int temporal_interval = 4;  // self-attention of temporal blocks
  int cross_interval = 6;
  double window_low = 450;  // times, 0 .. 1000, between which modules are reused
  double window_high = 930;
  int mlp_layers = 5;  // so many from the first reuse their MLPs
  int mlp_skip = 2;    // steps left out after each step that the MLP rule names
};

class PabPolicy : public CachePolicy {
 public:
  PabPolicy(const PolicyContext& context, const PabSettings& settings)
      : context_(context),
        settings_(settings),
        in_window_(static_cast<size_t>(context.steps)),
        skips_mlp_(static_cast<size_t>(context.steps)) {
    for (int step = 0; step < context.steps; ++step) {
      const double time = timestep_of(context, step);
      in_window_[static_cast<size_t>(step)] =
          time > settings.window_low && time < settings.window_high;
    }
    plan_mlp();
  }

  ModuleDecision decide(const ModuleSite& site) const override {
    if (reuses(site)) return {Decision::kReuse, 0};
    return {Decision::kRefresh, context_.tokens};
  }
  // Every kind of module has a rhythm of its own: inside the window few steps are computed whole.
  bool is_refresh_point(int step) const override {
    using enum Module;
    const auto computed = [&](BlockKind block, Module module) {
      return !reuses({.step = step, .layer = 0, .block = block, .module = module});
    };
    return computed(BlockKind::kSpatial, kSelfAttention) &&
           computed(BlockKind::kSpatial, kCrossAttention) && computed(BlockKind::kSpatial, kMlp) &&
           (!context_.temporal_blocks || computed(BlockKind::kTemporal, kSelfAttention));
  }
  CacheNeeds needs() const override { return {.features = true, .scores = false}; }

  std::vector<std::string> warnings() const override {
    std::vector<std::string> warnings;
    const auto tell = [&](const char* option, Module module, BlockKind block) {
      for (int step = 0; step < context_.steps; ++step) {
        if (reuses({.step = step, .layer = 0, .block = block, .module = module})) return;
      }
      warnings.push_back("policy pab: " + std::string(option) + " applies at none of " +
                         counted(context_.steps, "step") + ": take more steps or a wider window");
    };
    using enum Module;
    if (settings_.spatial_interval > 1) {
      tell("spatial_interval", kSelfAttention, BlockKind::kSpatial);
    }
    if (context_.temporal_blocks && settings_.temporal_interval > 1) {
      tell("temporal_interval", kSelfAttention, BlockKind::kTemporal);
    }
    if (settings_.cross_interval > 1) tell("cross_interval", kCrossAttention, BlockKind::kSpatial);
    if (settings_.mlp_layers > 0 && settings_.mlp_skip > 0) {
      tell("mlp_skip", kMlp, BlockKind::kSpatial);
    }
    return warnings;
  }

 private:
  // A step that is named is computed, also where the one before it would skip it.
  void plan_mlp() {
    const auto first = std::find(in_window_.begin(), in_window_.end(), true);
    const auto inside = static_cast<int>(std::count(first, in_window_.end(), true));
    const auto start = static_cast<int>(first - in_window_.begin());
    std::vector<int> named;
    for (int quarter = 1; quarter <= 3 && inside > 0; ++quarter) {
      named.push_back(start + (quarter * (inside - 1) + 2) / 4);
    }
    for (const int from : named) {
      for (int step = from + 1; step <= from + settings_.mlp_skip; ++step) {
        if (step >= start + inside || std::find(named.begin(), named.end(), step) != named.end()) {
          break;
        }
        skips_mlp_[static_cast<size_t>(step)] = true;
      }
    }
  }

  bool reuses(const ModuleSite& site) const {
    if (site.step >= context_.steps || !in_window_[static_cast<size_t>(site.step)]) return false;
    switch (site.module) {
      case Module::kCrossAttention:
        return site.step % settings_.cross_interval != 0;
      case Module::kMlp:
        return site.layer < settings_.mlp_layers && skips_mlp_[static_cast<size_t>(site.step)];
      case Module::kSelfAttention:
        break;
    }
    const bool temporal = site.block == BlockKind::kTemporal;
    return site.step % (temporal ? settings_.temporal_interval : settings_.spatial_interval) != 0;
  }

  PolicyContext context_;
  PabSettings settings_;
  std::vector<bool> in_window_;  // [steps]
  std::vector<bool> skips_mlp_;  // [steps]
};

constexpr double kMaxTime = 1000.0;

}  // namespace

std::unique_ptr<CachePolicy> make_pab_policy(PolicyOptions& options, const PolicyContext& context) {
  PabSettings settings;
  const auto interval = [&](const char* name, int& value) {
    value = options.integer(name, value, 1, kMaxSteps);
  };
  interval("spatial_interval", settings.spatial_interval);
  if (context.temporal_blocks) interval("temporal_interval", settings.temporal_interval);
  if (counts_down(context)) {
    settings.cross_interval = 1;  // DiT has none
  } else {
    interval("cross_interval", settings.cross_interval);
  }
  settings.window_low = options.number("window_low", settings.window_low, 0, kMaxTime);
  settings.window_high =
      options.number("window_high", std::max(settings.window_high, settings.window_low),
                     settings.window_low, kMaxTime);
  settings.mlp_layers =
      options.integer("mlp_layers", std::min(settings.mlp_layers, context.depth), 0, context.depth);
  settings.mlp_skip = options.integer("mlp_skip", settings.mlp_skip, 0, kMaxSteps);
  options.finish();
  return std::make_unique<PabPolicy>(context, settings);
}

}  // namespace engine
