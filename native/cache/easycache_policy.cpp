// EasyCache (arXiv 2507.02860): the change of the trunk's output is predicted from that of its
// input by the ratio of both when the trunk last ran; predicted changes, relative to the output,
// are summed up, and the trunk is skipped while the sum stays below a threshold. Needs no
// calibration.
//
// The published code compares latents with predictions of the whole model; here the trunk's own
// input and output are compared, between which the residual that is reused lies.
#include <optional>

#include "cache/policies.h"
#include "core/counted.h"

namespace engine {

namespace {

struct EasyCacheSettings {
  double threshold = 0.05;
  int warm = 5;  // steps at the start that always run; so does the last one
};

class EasyCacheRun : public PolicyRun {
 public:
  EasyCacheRun(const PolicyContext& context, const EasyCacheSettings& settings)
      : context_(context), settings_(settings) {}

  TrunkDecision decide_trunk(int step, const StepChanges& changes) override {
    runs_ = !may_skip(step, changes);
    if (runs_) sum_ = 0;
    return runs_ ? TrunkDecision::kRun : TrunkDecision::kReuse;
  }
  ModuleDecision decide(const ModuleSite&) const override {
    return {Decision::kRefresh, context_.tokens};
  }
  bool is_refresh_point(int step) const override { return step == 0; }

  void end_step(int, const StepChanges& changes) override {
    if (!changes.output) return;
    output_ = changes.output->reference;
    if (runs_ && changes.input && changes.input->difference > 0) {
      ratio_ = changes.output->difference / changes.input->difference;
    }
  }

 private:
  bool may_skip(int step, const StepChanges& changes) {
    if (step < settings_.warm || step + 1 >= context_.steps) return false;
    if (!ratio_ || !changes.input || output_ == 0) return false;
    sum_ += *ratio_ * changes.input->difference / output_;
    return sum_ < settings_.threshold;
  }

  const PolicyContext& context_;
  const EasyCacheSettings& settings_;
  std::optional<double> ratio_;  // of output's change to input's, when the trunk last ran
  double output_ = 0;            // Σ |output| of the step before
  double sum_ = 0;               // predicted changes since the trunk last ran
  bool runs_ = true;
};

class EasyCachePolicy : public CachePolicy {
 public:
  EasyCachePolicy(const PolicyContext& context, const EasyCacheSettings& settings,
                  std::string fingerprint)
      : context_(context), settings_(settings), fingerprint_(std::move(fingerprint)) {}

  ModuleDecision decide(const ModuleSite&) const override {
    return {Decision::kRefresh, context_.tokens};
  }
  // The ratio is of two steps.
  bool is_refresh_point(int step) const override { return step == 0; }
  CacheNeeds needs() const override {
    return {.trunk = TrunkKept::kResidual, .changes = {.input = true, .output = true}};
  }
  bool is_dynamic() const override { return true; }
  // How much a render changes from step to step is not known before it: half of the steps.
  double run_share(int step) const override {
    return step < settings_.warm || step + 1 >= context_.steps ? 1 : 0.5;
  }
  std::string fingerprint() const override { return fingerprint_; }
  std::vector<std::string> warnings() const override {
    if (settings_.warm + 1 < context_.steps) return {};
    return {"policy easycache: warm " + std::to_string(settings_.warm) +
            " and the last step, which always runs, leave none of " +
            counted(context_.steps, "step") + " to skip; lower warm"};
  }
  std::unique_ptr<PolicyRun> begin() const override {
    return std::make_unique<EasyCacheRun>(context_, settings_);
  }

 private:
  PolicyContext context_;
  EasyCacheSettings settings_;
  std::string fingerprint_;
};

// Beyond this everything is reused; it is a typing error.
constexpr double kMaxThreshold = 10.0;

}  // namespace

std::unique_ptr<CachePolicy> make_easycache_policy(PolicyOptions& options,
                                                   const PolicyContext& context) {
  EasyCacheSettings settings;
  settings.threshold = options.number("threshold", settings.threshold, 0, kMaxThreshold);
  settings.warm = options.integer("warm", settings.warm, 1, kMaxSteps);
  options.finish();
  return std::make_unique<EasyCachePolicy>(context, settings, options.resolved());
}

}  // namespace engine
