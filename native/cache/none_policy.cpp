// No cache: the reference that every other policy is measured against.
#include "cache/policies.h"

namespace engine {

namespace {

class NonePolicy : public CachePolicy {
 public:
  explicit NonePolicy(int64_t tokens) : tokens_(tokens) {}

  ModuleDecision decide(const ModuleSite&) const override { return {Decision::kRefresh, tokens_}; }
  bool is_refresh_point(int) const override { return true; }
  CacheNeeds needs() const override { return {}; }

 private:
  int64_t tokens_;
};

}  // namespace

std::unique_ptr<CachePolicy> make_none_policy(PolicyOptions& options,
                                              const PolicyContext& context) {
  options.finish();
  return std::make_unique<NonePolicy>(context.tokens);
}

}  // namespace engine
