// ToCa (arXiv 2410.05317) as published for PixArt-alpha and DiT. The interval between full steps
// changes during a run: at each full step block 0 sets the next one from how far the run has come.
// Between full steps self-attention is reused whole, cross-attention and MLP compute the
// highest-ranked tokens anew: fewer in deeper layers and towards the end of the run (or the other
// way round), and of every cell of the picture rather its best token than others.
//
// The published code asks of each block anew whether its step is full, with the interval as it
// stands: where block 0 changes it, the blocks after it may do a partial step. fidelity=upstream
// keeps that; otherwise a step that is full for block 0 is full for all.
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "cache/policies.h"

namespace engine {

namespace {

struct Settings {
  int interval = 3;
  double fresh_ratio = 0;
  double layer_slope = 0;  // share of tokens: from 1 + slope in layer 0 to 1 - slope in layer 27
  double step_slope = 0;   // from 1 + slope at step 0 to 1 - slope at the end, as the code counts
  double cross_factor = 1;
  double mlp_factor = 1;
  double spread_bonus = 0;
  int spread_cell = 0;
  TokenScore score = TokenScore::kEntropy;
  double staleness_weight = 0.25;
  int staleness_period = 3;
  bool upstream = false;
};

// caching-policies.md, B, defaults [code].
Settings published_settings(PublishedSettings published) {
  if (published == PublishedSettings::kPixartAlpha) {
    return {.interval = 3,
            .fresh_ratio = 0.30,
            .layer_slope = 0.6,
            .step_slope = 0.9,
            .cross_factor = 0.6,
            .mlp_factor = 1.6,
            .spread_bonus = 0.4,
            .spread_cell = 4};
  }
  Settings settings{.interval = 3,
                    .fresh_ratio = 0.07,
                    .layer_slope = -0.2,
                    .step_slope = 2.0,
                    .mlp_factor = 2.5,
                    .spread_bonus = 0.6,
                    .spread_cell = 2,
                    .score = TokenScore::kAttention};
  if (published == PublishedSettings::kDitDdpm) {
    settings.interval = 4;
    settings.layer_slope = 0.8;
    settings.step_slope = 0.4;
  }
  return settings;
}

// The next interval, set at a full step; `index` is the step as the published code counts it.
int next_interval(const PolicyContext& context, const Settings& settings, int index) {
  if (settings.fresh_ratio == 0) return settings.interval;
  const int steps = context.steps;
  const double progress = static_cast<double>(index) / steps;
  double divisor = 0.8 + 0.4 * progress;
  if (counts_down(context)) {
    const auto tenths = [steps](double share) { return static_cast<int>(share * steps); };
    if (index >= tenths(0.2) && index < tenths(0.4)) return 2;
    divisor = 1.4 - 0.8 * progress;
  }
  return static_cast<int>(std::nearbyint(settings.interval / divisor));  // half to even
}

class TocaVariablePolicy : public CachePolicy {
 public:
  TocaVariablePolicy(const PolicyContext& context, const Settings& settings)
      : context_(context), settings_(settings) {
    int interval = settings.interval;
    for (int step = 0; step < context.steps; ++step) {
      const int index = published_index(context, step);
      for (int layer = 0; layer < context.depth; ++layer) {
        const bool asks = layer == 0 || settings.upstream;
        full_.push_back(asks ? step == 0 || index % interval == 0 : full_.back());
        if (layer == 0 && full_.back()) interval = next_interval(context, settings, index);
      }
    }
  }

  ModuleDecision decide(const ModuleSite& site) const override {
    if (site.step >= context_.steps || is_full(site.step, site.layer)) {
      return {Decision::kRefresh, context_.tokens};
    }
    // Partial self-attention was found harmful: a token attends to stale neighbours.
    if (site.module == Module::kSelfAttention) return {Decision::kReuse, 0};
    return {Decision::kPartial, fresh_tokens(site)};
  }

  bool is_refresh_point(int step) const override {
    for (int layer = 0; layer < context_.depth; ++layer) {
      if (!is_full(step, layer)) return false;
    }
    return true;
  }

  CacheNeeds needs() const override { return {.features = true, .scores = true}; }
  bool upstream_fidelity() const override { return settings_.upstream; }

  ScoreSettings score_settings() const override {
    return {.score = settings_.score,
            .staleness_weight = static_cast<float>(settings_.staleness_weight) /
                                static_cast<float>(settings_.staleness_period),
            .spread_cell = settings_.spread_bonus > 0 ? settings_.spread_cell : 0,
            .spread_factor = static_cast<float>(1 + settings_.spread_bonus)};
  }

 private:
  bool is_full(int step, int layer) const {
    return full_[static_cast<size_t>(step) * static_cast<size_t>(context_.depth) +
                 static_cast<size_t>(layer)];
  }

  // The layer schedule divides by 27 whatever the depth. The product is rounded to float32 before
  // it is cut, as the published code has it.
  int64_t fresh_tokens(const ModuleSite& site) const {
    const double index = published_index(context_, site.step);
    const double layer = 1 + settings_.layer_slope - 2 * settings_.layer_slope * site.layer / 27.0;
    const double step =
        1 + settings_.step_slope - 2 * settings_.step_slope * index / context_.steps;
    const double module =
        site.module == Module::kMlp ? settings_.mlp_factor : settings_.cross_factor;
    const double ratio = settings_.fresh_ratio * layer * step * module;
    const auto share = static_cast<float>(std::clamp(ratio, 0.0, 1.0));
    const float product = share * static_cast<float>(context_.tokens);
    return std::min(static_cast<int64_t>(product), context_.tokens);
  }

  PolicyContext context_;
  Settings settings_;
  std::vector<bool> full_;  // [steps, layers]
};

// Beyond these a slope, a factor or a weight leaves nothing of the schedule; it is a typing error.
constexpr double kMaxSlope = 10.0;
constexpr double kMaxFactor = 100.0;
constexpr double kMaxStalenessWeight = 1000.0;
constexpr int kMaxCell = 1024;

TokenScore read_score(PolicyOptions& options, const PolicyContext& context) {
  if (context.published == PublishedSettings::kPixartAlpha) {
    constexpr std::array kScores{TokenScore::kEntropy, TokenScore::kNorm, TokenScore::kSimilarity,
                                 TokenScore::kAttention};
    return kScores[options.choice("score", 0, {"entropy", "norm", "similarity", "attention"})];
  }
  constexpr std::array kScores{TokenScore::kAttention, TokenScore::kNorm, TokenScore::kSimilarity};
  return kScores[options.choice("score", 0, {"attention", "norm", "similarity"})];
}

Settings read_settings(PolicyOptions& options, const PolicyContext& context) {
  Settings settings = published_settings(context.published);
  const auto factor = [&](const char* name, double& value, double min, double max) {
    value = options.number(name, value, min, max);
  };
  settings.interval = options.integer("interval", settings.interval, 1, kMaxSteps);
  factor("fresh_ratio", settings.fresh_ratio, 0, 1);
  factor("layer_slope", settings.layer_slope, -kMaxSlope, kMaxSlope);
  factor("step_slope", settings.step_slope, -kMaxSlope, kMaxSlope);
  if (context.published == PublishedSettings::kPixartAlpha) {
    factor("cross_factor", settings.cross_factor, 0, kMaxFactor);
  }
  factor("mlp_factor", settings.mlp_factor, 0, kMaxFactor);
  factor("spread_bonus", settings.spread_bonus, 0, kMaxFactor);
  settings.spread_cell = options.integer("spread_cell", settings.spread_cell, 1, kMaxCell);
  settings.score = read_score(options, context);
  factor("staleness_weight", settings.staleness_weight, 0, kMaxStalenessWeight);
  settings.staleness_period = options.integer("staleness_period", settings.interval, 1, kMaxSteps);
  settings.upstream = options.choice("fidelity", 0, {"corrected", "upstream"}) == 1;
  options.finish();
  return settings;
}

}  // namespace

std::unique_ptr<CachePolicy> make_toca_variable_policy(PolicyOptions& options,
                                                       const PolicyContext& context) {
  return std::make_unique<TocaVariablePolicy>(context, read_settings(options, context));
}

}  // namespace engine
