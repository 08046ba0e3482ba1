// The policies that make_policy knows, one file each. Every maker reads its options by name and
// refuses what it does not know.
#pragma once

#include <memory>

#include "cache/cache_policy.h"
#include "cache/policy_options.h"

namespace engine {

// Everything computed at every step.
std::unique_ptr<CachePolicy> make_none_policy(PolicyOptions& options, const PolicyContext& context);
// Everything computed, at fewer steps.
std::unique_ptr<CachePolicy> make_steps_policy(PolicyOptions& options,
                                               const PolicyContext& context);
// FORA (arXiv 2407.01425): whole modules reused between full steps.
std::unique_ptr<CachePolicy> make_fora_policy(PolicyOptions& options, const PolicyContext& context);
// ToCa (arXiv 2410.05317): between full steps the highest-ranked tokens are computed anew.
std::unique_ptr<CachePolicy> make_toca_policy(PolicyOptions& options, const PolicyContext& context);

}  // namespace engine
