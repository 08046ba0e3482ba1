// ToCa (arXiv 2410.05317) as published for PixArt-alpha and DiT. The interval between full steps
// changes during a run: at each full step block 0 sets the next one from how far the run has come.
// Between full steps self-attention is reused whole, cross-attention and MLP compute the
// highest-ranked tokens anew: fewer in deeper layers and towards the end of the run (or the other
// way round), and of every cell of the picture rather its best token than others.
//
// The published code asks of each block anew whether its step is full, with the interval as it
// stands: where block 0 changes it, the blocks after it may do a partial step. fidelity=upstream
// keeps that; otherwise a step that is full for block 0 is full for all. For Open-Sora, which was
// not published with it, a step is full for all under either.
#include <cmath>
#include <vector>

#include "cache/toca_settings.h"

namespace engine {

namespace {

// caching-policies.md, B, defaults [code].
TocaSettings published_settings(PublishedSettings published) {
  switch (published) {
    case PublishedSettings::kOpenSora:
      break;
    case PublishedSettings::kPixartAlpha:
      return {.warm = 1,
              .shares = {.fresh_ratio = 0.30,
                         .layer_slope = 0.6,
                         .step_slope = 0.9,
                         .cross_factor = 0.6,
                         .mlp_factor = 1.6},
              .ranking = {.spread_bonus = 0.4, .spread_cell = 4}};
    case PublishedSettings::kDitDdim:
      return {.warm = 1,
              .shares = {.fresh_ratio = 0.07,
                         .layer_slope = -0.2,
                         .step_slope = 2.0,
                         .mlp_factor = 2.5},
              .ranking = {.score = TokenScore::kAttention, .spread_bonus = 0.6}};
    case PublishedSettings::kDitDdpm:
      return {
          .interval = 4,
          .warm = 1,
          .shares = {.fresh_ratio = 0.07, .layer_slope = 0.8, .step_slope = 0.4, .mlp_factor = 2.5},
          .ranking = {.score = TokenScore::kAttention, .spread_bonus = 0.6}};
  }
  return {};
}

// The next interval, set at a full step; `index` is the step as the published code counts it.
int next_interval(const PolicyContext& context, const TocaSettings& settings, int index) {
  if (settings.shares.fresh_ratio == 0) return settings.interval;
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
  TocaVariablePolicy(const PolicyContext& context, const TocaSettings& settings, bool variable)
      : context_(context), settings_(settings) {
    const bool each_block_asks =
        settings.upstream && context.published != PublishedSettings::kOpenSora;
    int interval = settings.interval;
    for (int step = 0; step < context.steps; ++step) {
      const int index = published_index(context, step);
      for (int layer = 0; layer < context.depth; ++layer) {
        const bool asks = layer == 0 || each_block_asks;
        full_.push_back(asks ? step < settings.warm || index % interval == 0 : full_.back());
        if (variable && layer == 0 && full_.back()) {
          interval = next_interval(context, settings, index);
        }
      }
    }
  }

  ModuleDecision decide(const ModuleSite& site) const override {
    if (site.step >= context_.steps || is_full(site.step, site.layer)) {
      return {Decision::kRefresh, context_.tokens};
    }
    // Partial self-attention was found harmful: a token attends to stale neighbours.
    if (site.module == Module::kSelfAttention) return {Decision::kReuse, 0};
    return {Decision::kPartial, toca_tokens(settings_.shares, context_, site)};
  }

  bool is_refresh_point(int step) const override {
    for (int layer = 0; layer < context_.depth; ++layer) {
      if (!is_full(step, layer)) return false;
    }
    return true;
  }

  CacheNeeds needs() const override { return {.features = true, .scores = true}; }
  bool upstream_fidelity() const override { return settings_.upstream; }
  ScoreSettings score_settings() const override { return toca_score_settings(settings_.ranking); }

 private:
  bool is_full(int step, int layer) const {
    return full_[static_cast<size_t>(step) * static_cast<size_t>(context_.depth) +
                 static_cast<size_t>(layer)];
  }

  PolicyContext context_;
  TocaSettings settings_;
  std::vector<bool> full_;  // [steps, layers]
};

}  // namespace

std::unique_ptr<CachePolicy> make_toca_variable_policy(PolicyOptions& options,
                                                       const PolicyContext& context,
                                                       bool variable) {
  TocaSettings settings = published_settings(context.published);
  settings.interval = options.integer("interval", settings.interval, 1, kMaxSteps);
  settings.warm = options.integer("warm", settings.warm, 1, kMaxSteps);
  read_toca_settings(options, context, settings);
  options.finish();
  return std::make_unique<TocaVariablePolicy>(context, settings, variable);
}

}  // namespace engine
