// What ToCa's policies have in common, whatever their timetable: how many tokens a partial module
// computes, how they are ranked, and the options that say so.
#pragma once

#include "cache/policies.h"

namespace engine {

// Share of a module's tokens = fresh_ratio · layer · step · module, cut to 0 .. 1.
struct TocaShares {
  double fresh_ratio = 0.1;
  double layer_slope = 0;  // from 1 + slope in layer 0 to 1 - slope in layer 27
  double step_slope = 0;   // from 1 + slope at step 0 to 1 - slope at the end, as the code counts
  double step_base = 1;    // times base^(how far the run has come)
  double cross_factor = 1;
  double mlp_factor = 1;
};

struct TocaRanking {
  TokenScore score = TokenScore::kEntropy;
  double staleness_weight = 0.25;
  int staleness_period = 3;
  double spread_bonus = 0;
  int spread_cell = 2;
};

struct TocaSettings {
  int interval = 3;
  int warm = 3;
  TocaShares shares;
  TocaRanking ranking;
  bool upstream = false;
};

// Read every option but the timetable's; `settings` holds the interval and the model's defaults.
void read_toca_settings(PolicyOptions& options, const PolicyContext& context,
                        TocaSettings& settings);

// Tokens that a partial cross-attention or MLP computes.
int64_t toca_tokens(const TocaShares& shares, const PolicyContext& context, const ModuleSite& site);

ScoreSettings toca_score_settings(const TocaRanking& ranking);

}  // namespace engine
