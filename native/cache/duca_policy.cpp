// DuCa (arXiv 2412.18911): between ToCa's full steps conservative ones, which compute the tokens
// that matter most, alternate with aggressive ones, which skip the whole trunk and take its output
// of the step before: at odd distances from the last full step the former, at even ones the latter.
//
// What the modules do is ToCa's. Published for DiT are 0.05 of the tokens under ToCa's schedules
// and changing interval, for PixArt-alpha 0.75 at a constant interval: with ToCa's factors that
// would be all of them, so the share is constant there. Tokens are ranked by the length of their
// values, which any attention kernel leaves to be read.
#include <utility>

#include "cache/policies.h"

namespace engine {

namespace {

class AggressiveSteps : public CachePolicy {
 public:
  AggressiveSteps(const PolicyContext& context, const CachePolicy& modules) : context_(context) {
    int distance = 0;
    for (int step = 0; step < context.steps; ++step) {
      const ModuleSite first{
          .step = step,
          .layer = 0,
          .block = context.temporal_blocks ? BlockKind::kSpatial : BlockKind::kJoint,
          .module = Module::kSelfAttention};
      distance = modules.decide(first).decision == Decision::kRefresh ? 0 : distance + 1;
      skipped_.push_back(distance > 0 && distance % 2 == 0);
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
  CacheNeeds needs() const override { return {.trunk = TrunkKept::kOutput}; }

 private:
  PolicyContext context_;
  std::vector<bool> skipped_;  // [steps]
};

}  // namespace

std::unique_ptr<CachePolicy> make_duca_policy(PolicyOptions& options,
                                              const PolicyContext& context) {
  options.prefer("score", "value_norm");
  if (context.published == PublishedSettings::kPixartAlpha) {
    options.prefer("fresh_ratio", "0.75");
    options.prefer("variable_interval", "false");
    for (const char* const slope : {"layer_slope", "step_slope"}) options.prefer(slope, "0");
    for (const char* const factor : {"cross_factor", "mlp_factor"}) options.prefer(factor, "1");
  } else if (context.published != PublishedSettings::kOpenSora) {
    options.prefer("fresh_ratio", "0.05");
  }
  auto modules = make_toca_policy(options, context);
  auto trunk = std::make_unique<AggressiveSteps>(context, *modules);
  return compose_policies(context, std::move(trunk), std::move(modules));
}

}  // namespace engine
