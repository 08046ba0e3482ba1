// A variant of ToCa (arXiv 2410.05317) of this project's own: between full steps the blocks compute
// their MLPs for one and the same choice of tokens. Then nothing of a token that was not chosen is
// read by any module of the step, so that it passes all blocks at once, when the chosen ones are
// through: as the sum of what every block has kept of it (fold=exact), or as what the trunk added
// to it at the last full step (fold=trunk).
#include "cache/toca_settings.h"
#include "engine/error.h"

namespace engine {

namespace {

class TocaSharedPolicy : public CachePolicy {
 public:
  TocaSharedPolicy(const PolicyContext& context, const TocaSettings& settings, int cross_interval,
                   SharedFold fold)
      : context_(context), settings_(settings), cross_interval_(cross_interval), fold_(fold) {}

  ModuleDecision decide(const ModuleSite& site) const override {
    const bool cross = site.module == Module::kCrossAttention;
    if (is_due(site.step, cross ? cross_interval_ : settings_.interval)) {
      return {Decision::kRefresh, context_.tokens};
    }
    if (site.module != Module::kMlp) return {Decision::kReuse, 0};
    return {Decision::kPartial, toca_tokens(settings_.shares, context_, site)};
  }
  bool is_refresh_point(int step) const override { return is_due(step, cross_interval_); }
  CacheNeeds needs() const override {
    const bool trunk = fold_ == SharedFold::kTrunk;
    return {.features = true,
            .scores = true,
            .trunk = trunk ? TrunkKept::kResidual : TrunkKept::kNothing,
            .shared = fold_};
  }
  std::optional<int64_t> shared_tokens(int step) const override {
    if (is_due(step, settings_.interval)) return std::nullopt;
    return decide({.step = step, .module = Module::kMlp}).tokens;
  }
  ScoreSettings score_settings() const override { return toca_score_settings(settings_.ranking); }
  std::string fingerprint() const override {
    return fold_ == SharedFold::kTrunk ? "toca-shared trunk" : "toca-shared exact";
  }

 private:
  bool is_due(int step, int interval) const {
    return step < settings_.warm || step % interval == 0;
  }

  PolicyContext context_;
  TocaSettings settings_;
  int cross_interval_;
  SharedFold fold_;
};

constexpr double kMaxStalenessWeight = 1000.0;  // beyond it any score is drowned

}  // namespace

std::unique_ptr<CachePolicy> make_toca_shared_policy(PolicyOptions& options,
                                                     const PolicyContext& context) {
  if (counts_down(context)) {
    throw Error(ErrorCode::kInvalidArgument,
                "policy toca-shared ranks tokens by their cross-attention, which DiT has not; use "
                "toca");
  }
  TocaSettings settings;
  settings.interval = options.integer("interval", settings.interval, 1, kMaxSteps);
  const int cross_interval = options.integer("cross_interval", 2 * settings.interval, 1, kMaxSteps);
  settings.warm = options.integer("warm", settings.warm, 0, kMaxSteps);
  // What toca's schedule makes of its 0.1 for MLPs.
  settings.shares.fresh_ratio = options.number("fresh_ratio", 0.1 * (1 + 0.33 * 1.5), 0, 1);
  TocaRanking& ranking = settings.ranking;
  ranking.staleness_weight =
      options.number("staleness_weight", ranking.staleness_weight, 0, kMaxStalenessWeight);
  ranking.staleness_period = options.integer("staleness_period", settings.interval, 1, kMaxSteps);
  const auto fold =
      options.choice("fold", 0, {"exact", "trunk"}) == 1 ? SharedFold::kTrunk : SharedFold::kExact;
  options.finish();
  if (cross_interval % settings.interval != 0) {
    throw Error(ErrorCode::kInvalidArgument,
                "policy toca-shared: cross_interval=" + std::to_string(cross_interval) +
                    " must be a multiple of interval=" + std::to_string(settings.interval) +
                    ": text is attended to anew only where every token is computed");
  }
  return std::make_unique<TocaSharedPolicy>(context, settings, cross_interval, fold);
}

}  // namespace engine
