// ToCa (arXiv 2410.05317) with the timetable of its Open-Sora part: every module in full at the
// first `warm` steps and at multiples of its own interval; between these self-attention is reused
// whole, cross-attention and MLP compute the highest-ranked tokens anew.
#include "cache/toca_settings.h"

namespace engine {

namespace {

struct Intervals {
  int spatial = 3;   // self-attention of spatial blocks
  int temporal = 3;  // self-attention of temporal and joint blocks
  int mlp = 3;
  int cross = 6;
};

class TocaPolicy : public CachePolicy {
 public:
  TocaPolicy(const PolicyContext& context, const TocaSettings& settings, const Intervals& intervals)
      : context_(context), settings_(settings), intervals_(intervals) {}

  ModuleDecision decide(const ModuleSite& site) const override {
    if (is_full(site)) return {Decision::kRefresh, context_.tokens};
    // Partial self-attention was found harmful: a token attends to stale neighbours.
    if (site.module == Module::kSelfAttention) return {Decision::kReuse, 0};
    return {Decision::kPartial, toca_tokens(settings_.shares, context_, site)};
  }

  bool is_refresh_point(int step) const override {
    if (step < settings_.warm) return true;
    const auto due = [step](int interval) { return step % interval == 0; };
    return due(intervals_.spatial) && due(intervals_.mlp) && due(intervals_.cross) &&
           (!context_.temporal_blocks || due(intervals_.temporal));
  }

  CacheNeeds needs() const override { return {.features = true, .scores = true}; }
  bool upstream_fidelity() const override { return settings_.upstream; }
  ScoreSettings score_settings() const override { return toca_score_settings(settings_.ranking); }

 private:
  int interval(const ModuleSite& site) const {
    if (site.module == Module::kCrossAttention) return intervals_.cross;
    if (site.module == Module::kMlp) return intervals_.mlp;
    return site.block == BlockKind::kSpatial ? intervals_.spatial : intervals_.temporal;
  }

  bool is_full(const ModuleSite& site) const {
    return site.step < settings_.warm || site.step % interval(site) == 0;
  }

  PolicyContext context_;
  TocaSettings settings_;
  Intervals intervals_;
};

}  // namespace

std::unique_ptr<CachePolicy> make_toca_policy(PolicyOptions& options,
                                              const PolicyContext& context) {
  const bool image = context.published != PublishedSettings::kOpenSora;
  const bool variable = options.flag("variable_interval", image);
  if (image || variable) return make_toca_variable_policy(options, context, variable);

  TocaSettings settings;
  settings.interval = options.integer("interval", settings.interval, 1, kMaxSteps);
  Intervals intervals;
  intervals.cross = options.integer("cross_interval", intervals.cross, 1, kMaxSteps);
  intervals.spatial = options.integer("spatial_interval", settings.interval, 1, kMaxSteps);
  intervals.temporal = options.integer("temporal_interval", settings.interval, 1, kMaxSteps);
  intervals.mlp = options.integer("mlp_interval", settings.interval, 1, kMaxSteps);
  settings.warm = options.integer("warm", settings.warm, 0, kMaxSteps);
  read_toca_settings(options, context, settings);
  options.finish();
  return std::make_unique<TocaPolicy>(context, settings, intervals);
}

}  // namespace engine
