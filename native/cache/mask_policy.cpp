// An explicit schedule: the steps at which the trunk runs. In between, what it added at the last
// one takes its place. Schedules come from a calibration (docs/policies.md, policy files) or by
// hand.
#include <algorithm>

#include "cache/index_list.h"
#include "cache/policies.h"
#include "core/counted.h"
#include "engine/error.h"

namespace engine {

namespace {

class MaskPolicy : public CachePolicy {
 public:
  MaskPolicy(const PolicyContext& context, std::vector<bool> computed, int for_steps)
      : context_(context), computed_(std::move(computed)), for_steps_(for_steps) {}

  ModuleDecision decide(const ModuleSite&) const override {
    return {Decision::kRefresh, context_.tokens};
  }
  TrunkDecision trunk(int step) const override {
    const bool runs = step >= context_.steps || computed_[static_cast<size_t>(step)];
    return runs ? TrunkDecision::kRun : TrunkDecision::kReuse;
  }
  bool is_refresh_point(int step) const override { return trunk(step) == TrunkDecision::kRun; }
  CacheNeeds needs() const override { return {.trunk = TrunkKept::kResidual}; }
  std::vector<std::string> warnings() const override {
    return schedule_warnings("mask", for_steps_, context_);
  }

 private:
  PolicyContext context_;
  std::vector<bool> computed_;  // [steps]
  int for_steps_;
};

}  // namespace

std::vector<std::string> schedule_warnings(const std::string& policy, int for_steps,
                                           const PolicyContext& context) {
  if (for_steps == context.steps) return {};
  return {"policy " + policy + ": its schedule was made for " + counted(for_steps, "step") +
          ", not for " + std::to_string(context.steps)};
}

std::unique_ptr<CachePolicy> make_mask_policy(PolicyOptions& options,
                                              const PolicyContext& context) {
  const std::string all = "0-" + std::to_string(context.steps - 1);
  const std::string steps = options.text("compute", all, "steps of " + all + " as in 0,1,2,5-9");
  const int for_steps = options.integer("for_steps", context.steps, 1, kMaxSteps);
  options.finish();
  std::optional<std::vector<bool>> computed = parse_index_list(steps, context.steps);
  if (!computed || !computed->front()) {
    throw Error(ErrorCode::kInvalidArgument, "policy mask: option compute=\"" + steps +
                                                 "\" must list steps of " + all +
                                                 ", 0 among them, as in 0,1,2,5-9");
  }
  return std::make_unique<MaskPolicy>(context, std::move(*computed), for_steps);
}

}  // namespace engine
