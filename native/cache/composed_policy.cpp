// Two policies in one: the first decides at which steps the trunk runs, the second what its modules
// do then. A refresh that the second wants at a step that is skipped is done at the next one that
// runs.
#include <algorithm>
#include <utility>

#include "cache/policies.h"

namespace engine {

namespace {

// The modules at a step, when the trunk ran last at `last_run`; -1: it never did.
ModuleDecision catch_up(const CachePolicy& modules, const ModuleSite& site, int last_run) {
  for (ModuleSite due = site; due.step > last_run; --due.step) {
    const ModuleDecision decision = modules.decide(due);
    if (decision.decision == Decision::kRefresh) return decision;
  }
  return modules.decide(site);
}

bool catches_up_all(const CachePolicy& modules, int step, int last_run) {
  for (int due = step; due > last_run; --due) {
    if (modules.is_refresh_point(due)) return true;
  }
  return false;
}

// Of a dynamic policy for the trunk: which steps ran is known as they come.
class ComposedRun : public PolicyRun {
 public:
  ComposedRun(const CachePolicy& trunk, const CachePolicy& modules)
      : trunk_(trunk.begin()), modules_(modules) {}

  TrunkDecision decide_trunk(int step, const StepChanges& changes) override {
    last_run_ = this_run_;
    const TrunkDecision decision = trunk_->decide_trunk(step, changes);
    if (decision == TrunkDecision::kRun) this_run_ = step;
    return decision;
  }
  // An attempt begins at a refresh point of both: with every module in full.
  ModuleDecision decide(const ModuleSite& site) const override {
    return catch_up(modules_, site, site.step > this_run_ ? this_run_ : last_run_);
  }
  bool is_refresh_point(int step) const override {
    return trunk_->is_refresh_point(step) && catches_up_all(modules_, step, last_run_);
  }
  void end_step(int step, const StepChanges& changes) override { trunk_->end_step(step, changes); }

 private:
  std::unique_ptr<PolicyRun> trunk_;
  const CachePolicy& modules_;
  int this_run_ = -1;
  int last_run_ = -1;  // before it
};

class ComposedPolicy : public CachePolicy {
 public:
  ComposedPolicy(const PolicyContext& context, std::unique_ptr<CachePolicy> trunk,
                 std::unique_ptr<CachePolicy> modules)
      : trunk_(std::move(trunk)), modules_(std::move(modules)) {
    int last = -1;
    for (int step = 0; step <= context.steps; ++step) {
      last_run_.push_back(last);
      if (trunk_->trunk(step) == TrunkDecision::kRun) last = step;
    }
  }

  ModuleDecision decide(const ModuleSite& site) const override {
    return catch_up(*modules_, site, last_run(site.step));
  }
  bool is_refresh_point(int step) const override {
    if (!trunk_->is_refresh_point(step)) return false;
    // Which steps a dynamic policy runs, and with it what has to be caught up, nobody knows yet:
    // at most all since step 0, which always runs.
    const int since = is_dynamic() ? std::min(step - 1, 0) : last_run(step);
    return catches_up_all(*modules_, step, since);
  }

  CacheNeeds needs() const override {
    CacheNeeds needs = modules_->needs();
    const CacheNeeds trunk = trunk_->needs();
    needs.trunk = trunk.trunk;
    needs.trunk_orders = trunk.trunk_orders;
    needs.changes = trunk.changes;
    return needs;
  }
  ScoreSettings score_settings() const override { return modules_->score_settings(); }
  bool upstream_fidelity() const override { return modules_->upstream_fidelity(); }

  TrunkDecision trunk(int step) const override { return trunk_->trunk(step); }
  LayerSpan span(int step) const override { return trunk_->span(step); }
  bool is_dynamic() const override { return trunk_->is_dynamic(); }
  double run_share(int step) const override { return trunk_->run_share(step); }
  std::string fingerprint() const override { return trunk_->fingerprint(); }
  std::vector<std::string> warnings() const override {
    std::vector<std::string> warnings = trunk_->warnings();
    for (std::string& each : modules_->warnings()) warnings.push_back(std::move(each));
    return warnings;
  }
  std::unique_ptr<PolicyRun> begin() const override {
    if (!is_dynamic()) return CachePolicy::begin();
    return std::make_unique<ComposedRun>(*trunk_, *modules_);
  }

 private:
  int last_run(int step) const {
    const size_t index = std::min(static_cast<size_t>(step), last_run_.size() - 1);
    return last_run_[index];
  }

  std::unique_ptr<CachePolicy> trunk_, modules_;
  std::vector<int> last_run_;  // before each step, as far as it is known
};

}  // namespace

std::unique_ptr<CachePolicy> compose_policies(const PolicyContext& context,
                                              std::unique_ptr<CachePolicy> trunk,
                                              std::unique_ptr<CachePolicy> modules) {
  return std::make_unique<ComposedPolicy>(context, std::move(trunk), std::move(modules));
}

}  // namespace engine
