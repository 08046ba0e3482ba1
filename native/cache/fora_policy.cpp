// FORA (arXiv 2407.01425): every module in full at steps below `warm` and at multiples of
// `interval`; in between the stored outputs serve all tokens.
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
  ForaPolicy(int64_t tokens, const ForaSettings& settings) : tokens_(tokens), settings_(settings) {}

  ModuleDecision decide(const ModuleSite& site) const override {
    const bool kept = site.module == Module::kCrossAttention && !settings_.cross_attention;
    if (kept || is_refresh_point(site.step)) return {Decision::kRefresh, tokens_};
    return {Decision::kReuse, 0};
  }
  bool is_refresh_point(int step) const override {
    return step < settings_.warm || step % settings_.interval == 0;
  }
  CacheNeeds needs() const override { return {.features = true, .scores = false}; }

 private:
  int64_t tokens_;
  ForaSettings settings_;
};

}  // namespace

std::unique_ptr<CachePolicy> make_fora_policy(PolicyOptions& options,
                                              const PolicyContext& context) {
  ForaSettings settings;
  settings.interval = options.integer("interval", settings.interval, 1, kMaxSteps);
  settings.warm = options.integer("warm", settings.warm, 0, kMaxSteps);
  settings.cross_attention = options.flag("cross_attention", settings.cross_attention);
  options.finish();
  return std::make_unique<ForaPolicy>(context.tokens, settings);
}

}  // namespace engine
