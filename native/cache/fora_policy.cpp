// FORA (arXiv 2407.01425): every module in full at steps below `warm` and at multiples of
// `interval`, counted as the published code counts; in between the stored outputs serve all tokens.
#include "cache/policies.h"

namespace engine {

namespace {

struct ForaSettings {
  int interval = 2;
  int warm = 3;
  bool cross_attention = true;  // whether it is reused too
};

class ForaPolicy : public CachePolicy {
 public:
  ForaPolicy(const PolicyContext& context, const ForaSettings& settings)
      : context_(context), settings_(settings) {}

  ModuleDecision decide(const ModuleSite& site) const override {
    const bool kept = site.module == Module::kCrossAttention && !settings_.cross_attention;
    if (kept || is_refresh_point(site.step)) return {Decision::kRefresh, context_.tokens};
    return {Decision::kReuse, 0};
  }
  bool is_refresh_point(int step) const override {
    return step < settings_.warm || published_index(context_, step) % settings_.interval == 0;
  }
  CacheNeeds needs() const override { return {.features = true, .scores = false}; }

 private:
  PolicyContext context_;
  ForaSettings settings_;
};

}  // namespace

std::unique_ptr<CachePolicy> make_fora_policy(PolicyOptions& options,
                                              const PolicyContext& context) {
  ForaSettings settings;
  if (context.published != PublishedSettings::kOpenSora) settings = {.interval = 3, .warm = 1};
  settings.interval = options.integer("interval", settings.interval, 1, kMaxSteps);
  // Counted downwards, the first step need not be a multiple of the interval.
  settings.warm = options.integer("warm", settings.warm, counts_down(context) ? 1 : 0, kMaxSteps);
  if (!counts_down(context)) {  // DiT has none
    settings.cross_attention = options.flag("cross_attention", settings.cross_attention);
  }
  options.finish();
  return std::make_unique<ForaPolicy>(context, settings);
}

}  // namespace engine
