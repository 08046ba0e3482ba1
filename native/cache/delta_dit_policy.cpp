// Δ-DiT (arXiv 2406.01125): of a run of layers what they add to the residual stream is kept, and
// reused between the steps at which they run. While a render draws outlines it is the layers at the
// rear that are skipped, and those at the front when it comes to details.
#include <algorithm>

#include "cache/policies.h"

namespace engine {

namespace {

struct DeltaDitSettings {
  int interval = 2;
  int gate = 0;    // the first step of details
  int layers = 1;  // that are skipped
};

class DeltaDitPolicy : public CachePolicy {
 public:
  DeltaDitPolicy(const PolicyContext& context, const DeltaDitSettings& settings)
      : context_(context), settings_(settings) {}

  ModuleDecision decide(const ModuleSite&) const override {
    return {Decision::kRefresh, context_.tokens};
  }
  // The layers to skip change at the gate: what they add must be made there.
  bool is_refresh_point(int step) const override {
    return step % settings_.interval == 0 || step == settings_.gate;
  }
  CacheNeeds needs() const override { return {.trunk = TrunkKept::kResidual}; }
  TrunkDecision trunk(int step) const override {
    return is_refresh_point(step) ? TrunkDecision::kRun : TrunkDecision::kReuse;
  }
  LayerSpan span(int step) const override {
    if (step < settings_.gate) return {context_.depth - settings_.layers, context_.depth};
    return {0, settings_.layers};
  }

 private:
  PolicyContext context_;
  DeltaDitSettings settings_;
};

}  // namespace

// No defaults were published for these models: half of the steps, half of the layers.
std::unique_ptr<CachePolicy> make_delta_dit_policy(PolicyOptions& options,
                                                   const PolicyContext& context) {
  DeltaDitSettings settings;
  settings.interval = options.integer("interval", settings.interval, 1, kMaxSteps);
  settings.gate = options.integer("gate", context.steps / 2, 0, kMaxSteps);
  settings.layers = options.integer("layers", std::max(1, context.depth / 2), 1, context.depth);
  options.finish();
  return std::make_unique<DeltaDitPolicy>(context, settings);
}

}  // namespace engine
