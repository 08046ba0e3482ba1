// First-block caching (fbcache, of ParaAttention) and its generalisation dbcache (of cache-dit):
// the first layers run at every step, and what they add is compared with what they added when all
// layers last ran. Where it changed by less than a threshold, the residual of the layers behind is
// reused; the last layers may run on what comes of it.
#include <algorithm>

#include "cache/policies.h"
#include "engine/error.h"

namespace engine {

namespace {

struct DbCacheSettings {
  int front_layers = 1;
  int back_layers = 0;
  int warm = 1;       // steps at the start that always run
  int max_skips = 0;  // in a row; 0: as many as there are
  double threshold = 0.1;
};

class DbCacheRun : public PolicyRun {
 public:
  DbCacheRun(const PolicyContext& context, const DbCacheSettings& settings)
      : context_(context), settings_(settings) {}

  TrunkDecision decide_trunk(int step, const StepChanges& changes) override {
    const bool skips = step >= settings_.warm && changes.front &&
                       changes.front->relative() < settings_.threshold &&
                       (settings_.max_skips == 0 || skipped_ < settings_.max_skips);
    skipped_ = skips ? skipped_ + 1 : 0;
    return skips ? TrunkDecision::kReuse : TrunkDecision::kRun;
  }
  ModuleDecision decide(const ModuleSite&) const override {
    return {Decision::kRefresh, context_.tokens};
  }
  bool is_refresh_point(int) const override { return skipped_ == 0; }

 private:
  const PolicyContext& context_;
  const DbCacheSettings& settings_;
  int skipped_ = 0;
};

class DbCachePolicy : public CachePolicy {
 public:
  DbCachePolicy(const PolicyContext& context, const DbCacheSettings& settings,
                std::string fingerprint)
      : context_(context), settings_(settings), fingerprint_(std::move(fingerprint)) {}

  ModuleDecision decide(const ModuleSite&) const override {
    return {Decision::kRefresh, context_.tokens};
  }
  bool is_refresh_point(int) const override { return true; }
  CacheNeeds needs() const override {
    return {.trunk = TrunkKept::kResidual, .changes = {.front = true}};
  }
  LayerSpan span(int) const override {
    return {settings_.front_layers, context_.depth - settings_.back_layers};
  }
  bool is_dynamic() const override { return true; }
  // How often a render's first layers change little is not known before it: half of the steps.
  double run_share(int step) const override { return step < settings_.warm ? 1 : 0.5; }
  std::string fingerprint() const override { return fingerprint_; }
  std::unique_ptr<PolicyRun> begin() const override {
    return std::make_unique<DbCacheRun>(context_, settings_);
  }

 private:
  PolicyContext context_;
  DbCacheSettings settings_;
  std::string fingerprint_;
};

// Beyond this everything is reused; it is a typing error.
constexpr double kMaxThreshold = 10.0;

// At least one layer is left to skip.
void check_depth(const PolicyContext& context, const char* name) {
  if (context.depth > 1) return;
  throw Error(ErrorCode::kInvalidArgument,
              "policy " + std::string(name) + " needs a model of two layers or more");
}

}  // namespace

std::unique_ptr<CachePolicy> make_fbcache_policy(PolicyOptions& options,
                                                 const PolicyContext& context) {
  check_depth(context, "fbcache");
  DbCacheSettings settings;
  settings.threshold = options.number("threshold", settings.threshold, 0, kMaxThreshold);
  options.finish();
  return std::make_unique<DbCachePolicy>(context, settings, options.resolved());
}

std::unique_ptr<CachePolicy> make_dbcache_policy(PolicyOptions& options,
                                                 const PolicyContext& context) {
  constexpr DbCacheSettings kPresets[] = {
      {.front_layers = 1, .warm = 4, .max_skips = 6, .threshold = 0.24},
      {.front_layers = 4, .warm = 4, .max_skips = 4, .threshold = 0.12},
      {.front_layers = 1, .warm = 8, .max_skips = 8, .threshold = 0.8},
  };
  check_depth(context, "dbcache");
  DbCacheSettings settings = kPresets[options.choice("preset", 0, {"medium", "slow", "fast"})];
  const int most = context.depth - 1;
  settings.front_layers =
      options.integer("front_layers", std::min(settings.front_layers, most), 1, most);
  settings.back_layers =
      options.integer("back_layers", settings.back_layers, 0, most - settings.front_layers);
  settings.warm = options.integer("warm", settings.warm, 1, kMaxSteps);
  settings.max_skips = options.integer("max_skips", settings.max_skips, 0, kMaxSteps);
  settings.threshold = options.number("threshold", settings.threshold, 0, kMaxThreshold);
  options.finish();
  return std::make_unique<DbCachePolicy>(context, settings, options.resolved());
}

}  // namespace engine
