// The policies that make_policy knows, one file each. Every maker reads its options by name and
// refuses what it does not know.
#pragma once

#include <memory>

#include "cache/cache_policy.h"
#include "cache/policy_options.h"

namespace engine {

// Whether the published code numbers the steps of this model downwards, from steps - 1 to 0.
inline bool counts_down(const PolicyContext& context) {
  return context.published == PublishedSettings::kDitDdim ||
         context.published == PublishedSettings::kDitDdpm;
}
// A step as the published code numbers it: its timetables and schedules are written in that number.
inline int published_index(const PolicyContext& context, int step) {
  return counts_down(context) ? context.steps - 1 - step : step;
}

// The time of a step, 0 .. 1000, without the rounding of the sampler's own float32.
inline double timestep_of(const PolicyContext& context, int step) {
  const double linear = 1.0 - static_cast<double>(step) / context.steps;
  const double shift = context.time_shift;
  return 1000.0 * shift * linear / (1.0 + (shift - 1.0) * linear);
}

// Differences that forecasts use: DiT as published (TaylorSeer, arXiv 2503.06923); the others have
// few steps, and forecasts from far apart were seen to collapse (caching-policies.md, B).
inline int published_taylor_order(const PolicyContext& context) {
  return counts_down(context) ? 4 : 1;
}

// `trunk` decides whether the trunk runs, `modules` what its modules do when it does.
std::unique_ptr<CachePolicy> compose_policies(const PolicyContext& context,
                                              std::unique_ptr<CachePolicy> trunk,
                                              std::unique_ptr<CachePolicy> modules);

// Everything computed at every step.
std::unique_ptr<CachePolicy> make_none_policy(PolicyOptions& options, const PolicyContext& context);
// Everything computed, at fewer steps.
std::unique_ptr<CachePolicy> make_steps_policy(PolicyOptions& options,
                                               const PolicyContext& context);
// FORA (arXiv 2407.01425): whole modules reused between full steps.
std::unique_ptr<CachePolicy> make_fora_policy(PolicyOptions& options, const PolicyContext& context);
// Pyramid Attention Broadcast (arXiv 2408.12588): attention reused inside a window of times.
std::unique_ptr<CachePolicy> make_pab_policy(PolicyOptions& options, const PolicyContext& context);
// ToCa (arXiv 2410.05317): between full steps the highest-ranked tokens are computed anew.
std::unique_ptr<CachePolicy> make_toca_policy(PolicyOptions& options, const PolicyContext& context);
// The same with one timetable for all modules: an interval that changes during a run (`variable`),
// as published for image models, or not.
std::unique_ptr<CachePolicy> make_toca_variable_policy(PolicyOptions& options,
                                                       const PolicyContext& context, bool variable);
// DuCa (arXiv 2412.18911): ToCa, with every second step between full ones skipped as a whole.
std::unique_ptr<CachePolicy> make_duca_policy(PolicyOptions& options, const PolicyContext& context);
// Explicit schedules: at which steps the trunk runs, and at which each module is refreshed.
std::unique_ptr<CachePolicy> make_mask_policy(PolicyOptions& options, const PolicyContext& context);
std::unique_ptr<CachePolicy> make_module_mask_policy(PolicyOptions& options,
                                                     const PolicyContext& context);
// That a schedule was made for another number of steps, if it was.
std::vector<std::string> schedule_warnings(const std::string& policy, int for_steps,
                                           const PolicyContext& context);
// A variant of ToCa with one choice of tokens for all blocks of a step.
std::unique_ptr<CachePolicy> make_toca_shared_policy(PolicyOptions& options,
                                                     const PolicyContext& context);
// MagCache (arXiv 2506.09045): the trunk's residual reused while a calibrated error stays small.
std::unique_ptr<CachePolicy> make_magcache_policy(PolicyOptions& options,
                                                  const PolicyContext& context);
// TeaCache (arXiv 2411.19108): the same while the first block's input says that little changed.
std::unique_ptr<CachePolicy> make_teacache_policy(PolicyOptions& options,
                                                  const PolicyContext& context);
// TaylorSeer (arXiv 2503.06923): module outputs, or what the trunk adds, forecast between full
// steps.
std::unique_ptr<CachePolicy> make_taylorseer_policy(PolicyOptions& options,
                                                    const PolicyContext& context);
std::unique_ptr<CachePolicy> make_taylorseer_lite_policy(PolicyOptions& options,
                                                         const PolicyContext& context);
// SpeCa (arXiv 2509.11628): the same while the last block, computed as well, says that its forecast
// is good.
std::unique_ptr<CachePolicy> make_speca_policy(PolicyOptions& options,
                                               const PolicyContext& context);
// ClusCa (arXiv 2509.10312): the same with MLPs corrected by one computed token of every group.
std::unique_ptr<CachePolicy> make_clusca_policy(PolicyOptions& options,
                                                const PolicyContext& context);
// AdaCache (arXiv 2411.02397): the trunk's residual reused for as many steps as one module's change
// allows.
std::unique_ptr<CachePolicy> make_adacache_policy(PolicyOptions& options,
                                                  const PolicyContext& context);
// EasyCache (arXiv 2507.02860): the same while the change predicted from the trunk's input is
// small.
std::unique_ptr<CachePolicy> make_easycache_policy(PolicyOptions& options,
                                                   const PolicyContext& context);
// First-block caching (ParaAttention) and dbcache (cache-dit): the same while the first layers say
// that little changed.
std::unique_ptr<CachePolicy> make_fbcache_policy(PolicyOptions& options,
                                                 const PolicyContext& context);
std::unique_ptr<CachePolicy> make_dbcache_policy(PolicyOptions& options,
                                                 const PolicyContext& context);
// Δ-DiT (arXiv 2406.01125): what a run of layers adds reused between the steps at which they run.
std::unique_ptr<CachePolicy> make_delta_dit_policy(PolicyOptions& options,
                                                   const PolicyContext& context);
// T-GATE (arXiv 2404.02747): cross-attention reused, as the mean of both guidance halves, from a
// gate on.
std::unique_ptr<CachePolicy> make_tgate_policy(PolicyOptions& options,
                                               const PolicyContext& context);
// FasterCache's guidance part (arXiv 2410.19355): the unconditional half restored from the
// conditional one.
std::unique_ptr<CachePolicy> make_fastercache_policy(PolicyOptions& options,
                                                     const PolicyContext& context);

}  // namespace engine
