// TeaCache (arXiv 2411.19108): how much the modulated input of the first block changed tells, by a
// polynomial fitted for the model, how much the trunk's output will have changed. Steps are skipped
// while these estimates add up to little.
#include "cache/policies.h"
#include "engine/error.h"

namespace engine {

namespace {

struct TeacacheSettings {
  double delta = 0;
  std::vector<double> polynomial;  // highest power first
};

// Published for Open-Sora 1.2 (caching-policies.md, C), highest power first.
const std::vector<double>& open_sora_polynomial() {
  static const std::vector<double> coefficients{217.546007, -118.329252, 26.8662585, -0.0459364272,
                                                0.0484426240};
  return coefficients;
}

double value_at(const std::vector<double>& polynomial, double x) {
  double value = 0;
  for (const double coefficient : polynomial) value = value * x + coefficient;
  return value;
}

class TeacacheRun : public PolicyRun {
 public:
  TeacacheRun(const PolicyContext& context, const TeacacheSettings& settings)
      : context_(context), settings_(settings) {}

  TrunkDecision decide_trunk(int step, const StepChanges& changes) override {
    runs_ = true;
    if (changes.modulated_input && step > 0 && step + 1 < context_.steps) {
      change_ += value_at(settings_.polynomial, changes.modulated_input->relative());
      runs_ = !(change_ < settings_.delta);
    }
    if (runs_) change_ = 0;
    return runs_ ? TrunkDecision::kRun : TrunkDecision::kReuse;
  }
  ModuleDecision decide(const ModuleSite&) const override {
    return {Decision::kRefresh, context_.tokens};
  }
  bool is_refresh_point(int) const override { return runs_; }

 private:
  const PolicyContext& context_;
  const TeacacheSettings& settings_;
  double change_ = 0;  // estimated, since the last step that ran
  bool runs_ = true;
};

class TeacachePolicy : public CachePolicy {
 public:
  TeacachePolicy(const PolicyContext& context, TeacacheSettings settings, std::string fingerprint)
      : context_(context), settings_(std::move(settings)), fingerprint_(std::move(fingerprint)) {}

  ModuleDecision decide(const ModuleSite&) const override {
    return {Decision::kRefresh, context_.tokens};
  }
  bool is_refresh_point(int) const override { return true; }
  CacheNeeds needs() const override {
    return {.trunk = TrunkKept::kResidual, .changes = {.modulated_input = true}};
  }
  bool is_dynamic() const override { return true; }
  // The published speed-ups on Open-Sora 1.2 are 1.55 with 0.1 and 2.25 with 0.2.
  double run_share(int step) const override {
    const bool always = step == 0 || step + 1 >= context_.steps;
    return always ? 1 : 1 / (1 + 6 * settings_.delta);
  }
  std::string fingerprint() const override { return fingerprint_; }
  std::unique_ptr<PolicyRun> begin() const override {
    return std::make_unique<TeacacheRun>(context_, settings_);
  }

 private:
  PolicyContext context_;
  TeacacheSettings settings_;
  std::string fingerprint_;
};

constexpr double kMaxDelta = 10.0;  // beyond it no step would ever be computed
// The published fits have five; more follow noise.
constexpr int kMaxCoefficients = 10;
constexpr double kMaxCoefficient = 1e9;

}  // namespace

std::unique_ptr<CachePolicy> make_teacache_policy(PolicyOptions& options,
                                                  const PolicyContext& context) {
  TeacacheSettings settings;
  settings.delta = options.number("delta", 0.1, 0, kMaxDelta);
  settings.polynomial =
      options.numbers("polynomial", -kMaxCoefficient, kMaxCoefficient, kMaxCoefficients);
  options.finish();
  if (settings.polynomial.empty()) {
    if (context.published != PublishedSettings::kOpenSora) {
      throw Error(ErrorCode::kInvalidArgument,
                  "policy teacache: the published polynomial is of Open-Sora 1.2 and says nothing "
                  "of this model; fit one and give it as option polynomial");
    }
    settings.polynomial = open_sora_polynomial();
  }
  return std::make_unique<TeacachePolicy>(context, std::move(settings), options.resolved());
}

}  // namespace engine
