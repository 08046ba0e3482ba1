// ToCa (arXiv 2410.05317) with the timetable of its Open-Sora part: every module in full at the
// first `warm` steps and at multiples of its own interval; between these self-attention is reused
// whole, cross-attention and MLP compute the highest-ranked tokens anew.
#include <algorithm>
#include <cmath>

#include "cache/policies.h"

namespace engine {

namespace {

enum class Schedule : size_t { kToca, kConstant, kLinear, kExp, kLayerwise };

struct TocaSettings {
  int spatial_interval = 3;   // self-attention of spatial blocks
  int temporal_interval = 3;  // self-attention of temporal and joint blocks
  int mlp_interval = 3;
  int cross_interval = 6;
  int warm = 3;
  double fresh_ratio = 0.1;
  double staleness_weight = 0.25;
  int staleness_period = 3;
  TokenScore score = TokenScore::kEntropy;
  Schedule schedule = Schedule::kToca;
  bool upstream = false;
};

class TocaPolicy : public CachePolicy {
 public:
  TocaPolicy(const PolicyContext& context, const TocaSettings& settings)
      : context_(context), settings_(settings) {}

  ModuleDecision decide(const ModuleSite& site) const override {
    if (is_full(site)) return {Decision::kRefresh, context_.tokens};
    // Partial self-attention was found harmful: a token attends to stale neighbours.
    if (site.module == Module::kSelfAttention) return {Decision::kReuse, 0};
    return {Decision::kPartial, fresh_tokens(site)};
  }

  bool is_refresh_point(int step) const override {
    if (step < settings_.warm) return true;
    const auto due = [step](int interval) { return step % interval == 0; };
    return due(settings_.spatial_interval) && due(settings_.mlp_interval) &&
           due(settings_.cross_interval) &&
           (!context_.temporal_blocks || due(settings_.temporal_interval));
  }

  CacheNeeds needs() const override { return {.features = true, .scores = true}; }
  bool upstream_fidelity() const override { return settings_.upstream; }

  ScoreSettings score_settings() const override {
    return {settings_.score, static_cast<float>(settings_.staleness_weight) /
                                 static_cast<float>(settings_.staleness_period)};
  }

 private:
  int interval(const ModuleSite& site) const {
    if (site.module == Module::kCrossAttention) return settings_.cross_interval;
    if (site.module == Module::kMlp) return settings_.mlp_interval;
    return site.block == BlockKind::kSpatial ? settings_.spatial_interval
                                             : settings_.temporal_interval;
  }

  bool is_full(const ModuleSite& site) const {
    return site.step < settings_.warm || site.step % interval(site) == 0;
  }

  // Share of tokens before clamping. The layer schedule divides by 27 whatever the depth.
  double ratio(const ModuleSite& site) const {
    const double progress = static_cast<double>(site.step) / context_.steps;
    const double fresh = settings_.fresh_ratio;
    switch (settings_.schedule) {
      case Schedule::kToca:
        // Cross-attention is starved in favour of the MLP: weight 0.33, strength 1.5.
        return site.module == Module::kMlp ? fresh * (1 + 0.33 * 1.5)
                                           : fresh * (1 - (1 - 0.33) * 1.5);
      case Schedule::kConstant:
        return fresh;
      case Schedule::kLinear:
        return fresh * (1.9 - 1.8 * progress);
      case Schedule::kExp:
        return fresh * std::pow(0.9, progress);
      case Schedule::kLayerwise:
        return fresh * (1.9 - 1.8 * site.layer / 27.0);
    }
    return fresh;
  }

  // The product is rounded to float32 before it is cut, as the published code has it.
  int64_t fresh_tokens(const ModuleSite& site) const {
    const auto share = static_cast<float>(std::clamp(ratio(site), 0.0, 1.0));
    const float product = share * static_cast<float>(context_.tokens);
    return std::min(static_cast<int64_t>(product), context_.tokens);
  }

  PolicyContext context_;
  TocaSettings settings_;
};

// A weight beyond this drowns any score; it is a typing error.
constexpr double kMaxStalenessWeight = 1000.0;

TocaSettings read_settings(PolicyOptions& options) {
  TocaSettings settings;
  const int interval = options.integer("interval", 3, 1, kMaxSteps);
  settings.cross_interval = options.integer("cross_interval", 6, 1, kMaxSteps);
  settings.spatial_interval = options.integer("spatial_interval", interval, 1, kMaxSteps);
  settings.temporal_interval = options.integer("temporal_interval", interval, 1, kMaxSteps);
  settings.mlp_interval = options.integer("mlp_interval", interval, 1, kMaxSteps);
  settings.warm = options.integer("warm", 3, 0, kMaxSteps);
  settings.fresh_ratio = options.number("fresh_ratio", 0.1, 0, 1);
  settings.staleness_weight = options.number("staleness_weight", 0.25, 0, kMaxStalenessWeight);
  settings.staleness_period = options.integer("staleness_period", interval, 1, kMaxSteps);
  settings.score = static_cast<TokenScore>(
      options.choice("score", 0, {"entropy", "norm", "similarity"}));  // in the order of TokenScore
  settings.schedule = static_cast<Schedule>(
      options.choice("schedule", 0, {"toca", "constant", "linear", "exp", "layerwise"}));
  settings.upstream = options.choice("fidelity", 0, {"corrected", "upstream"}) == 1;
  options.finish();
  return settings;
}

}  // namespace

std::unique_ptr<CachePolicy> make_toca_policy(PolicyOptions& options,
                                              const PolicyContext& context) {
  if (context.published != PublishedSettings::kOpenSora) {
    return make_toca_variable_policy(options, context);
  }
  return std::make_unique<TocaPolicy>(context, read_settings(options));
}

}  // namespace engine
