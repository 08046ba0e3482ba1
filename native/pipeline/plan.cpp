#include "pipeline/plan.h"

#include <algorithm>

#include "cache/presets.h"
#include "core/json.h"
#include "core/sha256.h"
#include "models/transformer/flops.h"

namespace engine {

namespace {

PlannedModule planned_module(const ModelFamily& family, const RenderRequest& request,
                             const CachePolicy& policy, const ModuleSite& site) {
  const ModuleDecision decision = planned_decision(policy, site);
  return {.layer = site.layer,
          .block = site.block,
          .module = site.module,
          .decision = decision.decision,
          .tokens = decision.tokens,
          .flops = nominal_flops(family.block_sizes(), family.grid(request),
                                 {.block = site.block,
                                  .module = site.module,
                                  .tokens = decision.tokens,
                                  .rows = computed_halves(decision.decision),
                                  .text_tokens = request.text_tokens_nominal})};
}

PlannedStep planned_step(const ModelFamily& family, const RenderRequest& request,
                         const CachePolicy& policy, int depth, int step) {
  PlannedStep planned;
  planned.step = step;
  planned.refresh_point = policy.is_refresh_point(step);
  planned.trunk = policy.trunk(step);
  planned.run_share = policy.run_share(step);
  for (int layer = 0; layer < depth; ++layer) {
    for (const auto& [block, module] : family.layer()) {
      const ModuleSite site{.step = step, .layer = layer, .block = block, .module = module};
      planned.modules.push_back(planned_module(family, request, policy, site));
      const double share = policy.is_dynamic() ? policy.expected_share(site) : 1;
      planned.flops += share * planned.modules.back().flops;
    }
  }
  return planned;
}

bool reuses_anything(const Plan& plan) {
  return std::any_of(plan.steps.begin(), plan.steps.end(), [](const PlannedStep& step) {
    return std::any_of(step.modules.begin(), step.modules.end(), [](const PlannedModule& module) {
      return module.decision != Decision::kRefresh;
    });
  });
}

std::vector<std::string> warnings_of(const ModelFamily& family, const RenderRequest& request,
                                     const CachePolicy& policy, const Plan& plan) {
  std::vector<std::string> warnings =
      preset_warnings(request.policy, family.policy_context(request));
  for (std::string& warning : policy.warnings()) warnings.push_back(std::move(warning));
  for (std::string& warning : family.warnings(request)) warnings.push_back(std::move(warning));
  if (plan.dynamic) {
    warnings.push_back("policy " + plan.policy.name +
                       " decides from what it measures: FLOPs and steps are what is expected");
  }
  const CacheNeeds needs = policy.needs();
  const bool caches = needs.features || needs.trunk != TrunkKept::kNothing || needs.guidance;
  if (plan.steps.size() > 1 && caches && !plan.dynamic && !reuses_anything(plan)) {
    warnings.push_back("policy " + plan.policy.name + " reuses nothing in " +
                       std::to_string(plan.steps.size()) +
                       " steps: take more steps, or options that reuse more");
  }
  if (policy.kept_dtype() != policy.kept_needs().dtype) {
    warnings.push_back("cache_dtype=" + std::string(dtype_name(policy.kept_dtype())) +
                       " changes nothing: policy " + plan.policy.name +
                       " keeps neither outputs of modules nor differences");
  }
  if (plan.steps.size() > 1 && refresh_points(plan).size() == 1) {
    warnings.push_back("policy " + plan.policy.name +
                       " refreshes nothing in full after step 0: an interrupted clip starts again");
  }
  return warnings;
}

Json decisions_of(const Plan& plan) {
  Json steps = Json::array();
  for (const PlannedStep& step : plan.steps) {
    Json modules = Json::array();
    for (const PlannedModule& module : step.modules) {
      modules.push_back({static_cast<int>(module.decision), module.tokens});
    }
    steps.push_back({{"timestep", step.timestep},
                     {"trunk", static_cast<int>(step.trunk)},
                     {"modules", std::move(modules)}});
  }
  return steps;
}

// Over all that decides the bits but seed and prompt.
std::string digest_of(const ModelFamily& family, const RenderRequest& request,
                      const CachePolicy& policy, const Plan& plan) {
  const ScoreSettings score = policy.score_settings();
  const CacheNeeds needs = policy.kept_needs();
  const Json all{
      {"family", plan.family},
      {"model", family.identity(request)},
      {"sampler", plan.sampler},
      {"score",
       {static_cast<int>(score.score), score.staleness_weight, score.spread_cell,
        score.spread_factor}},
      {"upstream", policy.upstream_fidelity()},
      {"keeps",
       {static_cast<int>(needs.trunk), needs.trunk_orders, needs.orders, dtype_name(needs.dtype)}},
      {"policy", policy.fingerprint()},
      {"steps", decisions_of(plan)}};
  const std::string text = all.dump();
  return sha256_hex(std::as_bytes(std::span(text)));
}

}  // namespace

std::vector<int> refresh_points(const Plan& plan) {
  std::vector<int> points;
  for (const PlannedStep& step : plan.steps) {
    if (step.refresh_point) points.push_back(step.step);
  }
  return points;
}

Plan make_plan(const ModelFamily& family, const RenderRequest& request, DType dtype,
               const PlanBytes& bytes) {
  const LatentSize size = latent_size(request);
  const TokenGrid grid = family.grid(request);
  const PolicyContext context = family.policy_context(request);
  const auto policy = make_policy(request.policy, context);
  const auto none = make_policy({}, context);

  Plan plan;
  const ModelTraits traits = family.traits();
  plan.family = traits.family;
  plan.sampler = chosen_sampler(traits, request);
  plan.sampler_keeps_history = family.sampler_keeps_history(request);
  plan.policy = resolve_preset(request.policy, context);
  plan.tokens = grid.tokens();
  plan.tokens_per_frame = grid.tokens_per_frame();
  plan.latent_frames = size.frames;
  plan.latent_height = size.height;
  plan.latent_width = size.width;
  plan.output_height = kPixelsPerLatent * size.height;
  plan.output_width = kPixelsPerLatent * size.width;
  plan.flops_none = planned_step(family, request, *none, context.depth, 0).flops * request.steps;

  const std::vector<float> times = family.timesteps(request, *policy);
  for (size_t i = 0; i < times.size(); ++i) {
    const int step = static_cast<int>(i);
    plan.steps.push_back(planned_step(family, request, *policy, context.depth, step));
    plan.steps.back().timestep = times[i];
    plan.flops += plan.steps.back().flops;
  }

  DenoiseBytes denoise = family.denoise_bytes(request, dtype, *policy);
  plan.dynamic = policy->is_dynamic();
  // The state from before a step is kept until it is known to be a refresh point or none.
  if (plan.dynamic) {
    const int64_t tensors = family.sampler_keeps_history(request) ? 2 : 1;
    denoise.other += latents_bytes(request, family.latent_channels(), tensors);
  }
  plan.cache_bytes = denoise.cache;
  const uint64_t weights = bytes.weights + family.weights_bytes(dtype);
  const uint64_t denoising = denoise.cache + denoise.other;
  const uint64_t until_decoding = std::max(denoising, bytes.text_encoding);
  plan.peak_bytes = weights + bytes.text_encoder + std::max(until_decoding, bytes.decode);
  plan.peak_bytes_prompt_kept = weights + std::max(denoising, bytes.decode);
  plan.overlapped_peak_bytes = weights + bytes.text_encoder + until_decoding + bytes.decode;
  plan.decode_bytes = bytes.decode;
  plan.warnings = warnings_of(family, request, *policy, plan);
  plan.digest = digest_of(family, request, *policy, plan);
  return plan;
}

}  // namespace engine
