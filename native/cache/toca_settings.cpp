#include "cache/toca_settings.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>

namespace engine {

namespace {

// Beyond these a slope, a factor or a weight leaves nothing of the schedule; it is a typing error.
constexpr double kMaxSlope = 10.0;
constexpr double kMaxFactor = 100.0;
constexpr double kMaxStalenessWeight = 1000.0;
constexpr int kMaxCell = 1024;

// The named schedules of the published Open-Sora part are points of departure: options that follow
// change them.
void read_schedule(PolicyOptions& options, TocaShares& shares) {
  switch (options.choice("schedule", 0, {"toca", "constant", "linear", "exp", "layerwise"})) {
    case 0:  // cross-attention is starved in favour of the MLP: weight 0.33, strength 1.5
      shares.cross_factor = 0;
      shares.mlp_factor = 1 + 0.33 * 1.5;
      break;
    case 2:
      shares.step_slope = 0.9;
      break;
    case 3:
      shares.step_base = 0.9;
      break;
    case 4:
      shares.layer_slope = 0.9;
      break;
    default:
      break;
  }
}

void read_shares(PolicyOptions& options, const PolicyContext& context, TocaShares& shares) {
  const auto number = [&](const char* name, double& value, double min, double max) {
    value = options.number(name, value, min, max);
  };
  number("fresh_ratio", shares.fresh_ratio, 0, 1);
  if (context.published == PublishedSettings::kOpenSora) read_schedule(options, shares);
  number("layer_slope", shares.layer_slope, -kMaxSlope, kMaxSlope);
  number("step_slope", shares.step_slope, -kMaxSlope, kMaxSlope);
  // DiT has no cross-attention.
  if (!counts_down(context)) number("cross_factor", shares.cross_factor, 0, kMaxFactor);
  number("mlp_factor", shares.mlp_factor, 0, kMaxFactor);
}

TokenScore read_score(PolicyOptions& options, const PolicyContext& context) {
  using enum TokenScore;
  if (counts_down(context)) {  // no text, no entropy
    constexpr std::array kScores{kAttention, kNorm, kSimilarity, kValueNorm, kRandom};
    return kScores[options.choice("score", 0,
                                  {"attention", "norm", "similarity", "value_norm", "random"})];
  }
  constexpr std::array kScores{kEntropy, kNorm, kSimilarity, kAttention, kValueNorm, kRandom};
  return kScores[options.choice(
      "score", 0, {"entropy", "norm", "similarity", "attention", "value_norm", "random"})];
}

}  // namespace

void read_toca_settings(PolicyOptions& options, const PolicyContext& context,
                        TocaSettings& settings) {
  TocaRanking& ranking = settings.ranking;
  read_shares(options, context, settings.shares);
  ranking.score = read_score(options, context);
  ranking.staleness_weight =
      options.number("staleness_weight", ranking.staleness_weight, 0, kMaxStalenessWeight);
  ranking.staleness_period = options.integer("staleness_period", settings.interval, 1, kMaxSteps);
  ranking.spread_bonus = options.number("spread_bonus", ranking.spread_bonus, 0, kMaxFactor);
  ranking.spread_cell = options.integer("spread_cell", ranking.spread_cell, 1, kMaxCell);
  settings.upstream = options.choice("fidelity", 0, {"corrected", "upstream"}) == 1;
}

// The layer schedule divides by 27 whatever the depth. The product is rounded to float32 before it
// is cut, as the published code has it.
int64_t toca_tokens(const TocaShares& shares, const PolicyContext& context,
                    const ModuleSite& site) {
  const double index = published_index(context, site.step);
  const double layer = 1 + shares.layer_slope - 2 * shares.layer_slope * site.layer / 27.0;
  double step = 1 + shares.step_slope - 2 * shares.step_slope * index / context.steps;
  if (shares.step_base != 1) step *= std::pow(shares.step_base, index / context.steps);
  const double module = site.module == Module::kMlp ? shares.mlp_factor : shares.cross_factor;
  const double ratio = shares.fresh_ratio * layer * step * module;
  const auto share = static_cast<float>(std::clamp(ratio, 0.0, 1.0));
  const float product = share * static_cast<float>(context.tokens);
  return std::min(static_cast<int64_t>(product), context.tokens);
}

ScoreSettings toca_score_settings(const TocaRanking& ranking) {
  return {.score = ranking.score,
          .staleness_weight = static_cast<float>(ranking.staleness_weight) /
                              static_cast<float>(ranking.staleness_period),
          .spread_cell = ranking.spread_bonus > 0 ? ranking.spread_cell : 0,
          .spread_factor = static_cast<float>(1 + ranking.spread_bonus)};
}

}  // namespace engine
