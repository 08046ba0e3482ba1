// An explicit schedule for modules: the steps at which each is refreshed; it is reused in between.
// Rules name modules of some layers or of all, and the steps; of two that fit the later one holds,
// and a module that no rule names is refreshed at every step.
//
//   spatial.self_attention@0-13=0,3,6-9;mlp=0-29
#include <algorithm>
#include <array>

#include "cache/index_list.h"
#include "cache/policies.h"
#include "core/quote.h"
#include "engine/error.h"

namespace engine {

namespace {

struct Rule {
  std::optional<BlockKind> block;  // nothing: of every kind
  std::optional<Module> module;
  std::vector<bool> layers;  // [depth]
  std::vector<bool> steps;   // [steps]

  bool fits(const ModuleSite& site) const {
    return (!block || *block == site.block) && (!module || *module == site.module) &&
           layers[static_cast<size_t>(site.layer)];
  }
};

class ModuleMaskPolicy : public CachePolicy {
 public:
  ModuleMaskPolicy(const PolicyContext& context, std::vector<Rule> rules, int for_steps)
      : context_(context), rules_(std::move(rules)), for_steps_(for_steps) {}

  ModuleDecision decide(const ModuleSite& site) const override {
    if (refreshes(site)) return {Decision::kRefresh, context_.tokens};
    return {Decision::kReuse, 0};
  }
  bool is_refresh_point(int step) const override {
    using enum BlockKind;
    for (int layer = 0; layer < context_.depth; ++layer) {
      for (const BlockKind block : {kSpatial, kTemporal, kJoint}) {
        if ((block == kJoint) == context_.temporal_blocks) continue;
        for (const Module module :
             {Module::kSelfAttention, Module::kCrossAttention, Module::kMlp}) {
          if (!refreshes({step, layer, block, module})) return false;
        }
      }
    }
    return true;
  }
  CacheNeeds needs() const override { return {.features = true}; }
  std::vector<std::string> warnings() const override {
    return schedule_warnings("module_mask", for_steps_, context_);
  }

 private:
  bool refreshes(const ModuleSite& site) const {
    if (site.step >= context_.steps) return true;
    const auto rule = std::find_if(rules_.rbegin(), rules_.rend(),
                                   [&](const Rule& each) { return each.fits(site); });
    return rule == rules_.rend() || rule->steps[static_cast<size_t>(site.step)];
  }

  PolicyContext context_;
  std::vector<Rule> rules_;
  int for_steps_;
};

[[noreturn]] void refuse(const std::string& rule, const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument, "policy module_mask: rule " + quote(rule) + " " + what +
                                               "; write [block.]module[@layers]=steps, as in "
                                               "spatial.mlp@0-13=0,3,6-9");
}

std::vector<bool> indices_of(const std::string& rule, const std::string& text, int count,
                             const char* what) {
  std::optional<std::vector<bool>> found = parse_index_list(text, count);
  if (!found) {
    refuse(rule, "must name " + std::string(what) + " of 0-" + std::to_string(count - 1));
  }
  return std::move(*found);
}

// The one of `choices` that is called `text`.
template <typename Choice, size_t N>
Choice choice_of(const std::string& rule, const std::string& text,
                 const std::array<Choice, N>& choices, const char* (*name)(Choice)) {
  std::string known;
  for (const Choice each : choices) {
    if (text == name(each)) return each;
    known += std::string(" ") + name(each);
  }
  refuse(rule, "names " + quote(text) + ", known are" + known);
}

Rule parse_rule(const std::string& text, const PolicyContext& context) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos) refuse(text, "has no \"=\"");
  std::string place = text.substr(0, equals);
  Rule rule;
  rule.steps = indices_of(text, text.substr(equals + 1), context.steps, "steps");
  if (!rule.steps.front()) refuse(text, "leaves out step 0, when nothing is kept yet");
  const size_t at = place.find('@');
  rule.layers.assign(static_cast<size_t>(context.depth), true);
  if (at != std::string::npos) {
    rule.layers = indices_of(text, place.substr(at + 1), context.depth, "layers");
    place.resize(at);
  }
  const size_t dot = place.find('.');
  if (dot != std::string::npos) {
    const std::string block = place.substr(0, dot);
    rule.block = context.temporal_blocks
                     ? choice_of(text, block, std::array{BlockKind::kSpatial, BlockKind::kTemporal},
                                 block_kind_name)
                     : choice_of(text, block, std::array{BlockKind::kJoint}, block_kind_name);
    place.erase(0, dot + 1);
  }
  if (place != "all") {
    using enum Module;
    rule.module =
        context.cross_attention
            ? choice_of(text, place, std::array{kSelfAttention, kCrossAttention, kMlp}, module_name)
            : choice_of(text, place, std::array{kSelfAttention, kMlp}, module_name);
  }
  return rule;
}

}  // namespace

std::unique_ptr<CachePolicy> make_module_mask_policy(PolicyOptions& options,
                                                     const PolicyContext& context) {
  const std::string all = options.text("refresh", "", "rules as in mlp=0,3,6-9;all@0-4=0-29");
  const int for_steps = options.integer("for_steps", context.steps, 1, kMaxSteps);
  options.finish();
  std::vector<Rule> rules;
  for (size_t begin = 0; begin < all.size();) {
    const size_t end = std::min(all.find(';', begin), all.size());
    rules.push_back(parse_rule(all.substr(begin, end - begin), context));
    begin = end + 1;
  }
  return std::make_unique<ModuleMaskPolicy>(context, std::move(rules), for_steps);
}

}  // namespace engine
