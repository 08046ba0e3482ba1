#include "pipeline/plan.h"

#include <algorithm>

#include "core/json.h"
#include "core/sha256.h"
#include "models/stdit3/flops.h"
#include "models/stdit3/model.h"
#include "samplers/timesteps.h"

namespace engine {

namespace {

constexpr int64_t kGuidanceHalves = 2;
// The VAE's groups: 17 frames become 5 latent ones; 8 x 8 pixels become one.
constexpr int64_t kGroupFrames = 17, kGroupLatentFrames = 5, kFramesPerLatent = 4;
constexpr int64_t kPixelsPerLatent = 8;

STDiT3Shape model_shape(const RenderRequest& request, const LatentSize& size) {
  return {.clips = 1,
          .guided = true,
          .latent_frames = size.frames,
          .latent_height = size.height,
          .latent_width = size.width,
          .pixel_height = static_cast<double>(request.height),
          .pixel_width = static_cast<double>(request.width),
          .text_tokens_nominal = request.text_tokens_nominal};
}

TimestepSettings times_of(const RenderRequest& request, const LatentSize& size) {
  return {.steps = request.steps,
          .pixel_height = static_cast<double>(request.height),
          .pixel_width = static_cast<double>(request.width),
          .frames = request.frames,
          .latent_frames = size.frames};
}

PlannedModule planned_module(const STDiT3Config& config, const TokenGrid& grid,
                             const RenderRequest& request, const CachePolicy& policy,
                             const ModuleSite& site) {
  const ModuleDecision decision = policy.decide(site);
  return {.layer = site.layer,
          .block = site.block,
          .module = site.module,
          .decision = decision.decision,
          .tokens = decision.tokens,
          .flops = nominal_flops(config, grid,
                                 {.block = site.block,
                                  .module = site.module,
                                  .tokens = decision.tokens,
                                  .rows = kGuidanceHalves,
                                  .text_tokens = request.text_tokens_nominal})};
}

PlannedStep planned_step(const STDiT3Config& config, const TokenGrid& grid,
                         const RenderRequest& request, const CachePolicy& policy, int step) {
  PlannedStep planned;
  planned.step = step;
  planned.refresh_point = policy.is_refresh_point(step);
  for (int layer = 0; layer < config.depth; ++layer) {
    for (const BlockKind block : {BlockKind::kSpatial, BlockKind::kTemporal}) {
      for (const Module module : {Module::kSelfAttention, Module::kCrossAttention, Module::kMlp}) {
        planned.modules.push_back(
            planned_module(config, grid, request, policy,
                           {.step = step, .layer = layer, .block = block, .module = module}));
        planned.flops += planned.modules.back().flops;
      }
    }
  }
  return planned;
}

// Keys and values of the longest caption for all blocks, and the projection they are made from.
uint64_t text_bytes(const STDiT3Config& config, DType dtype) {
  const auto tokens = static_cast<uint64_t>(kGuidanceHalves * config.model_max_length);
  const auto hidden = static_cast<uint64_t>(config.hidden);
  const auto captions = static_cast<uint64_t>(config.caption_channels);
  return tokens * (static_cast<uint64_t>(config.blocks()) * 2 * hidden * dtype_bytes(dtype) +
                   (captions + 3 * hidden) * sizeof(float));
}

// The latent, on the device and on its way there.
uint64_t latent_bytes(const STDiT3Config& config, const LatentSize& size) {
  return 2 * sizeof(float) *
         static_cast<uint64_t>(config.in_channels * size.frames * size.height * size.width);
}

std::vector<std::string> warnings_of(const RenderRequest& request, const CachePolicy& policy,
                                     const Plan& plan) {
  std::vector<std::string> warnings = policy.warnings();
  const std::string frames = std::to_string(request.frames) + " frames";
  if (request.frames > 1 && request.frames < kGroupFrames) {
    warnings.push_back(frames +
                       " are fewer than the 17 that the time transform counts in: their latent "
                       "frames are counted instead");
  } else if (request.frames > 1 && request.frames % kGroupFrames != 0) {
    warnings.push_back(frames + " are no multiple of 17, the length that models are trained in");
  }
  if (plan.steps.size() > 1 && refresh_points(plan).size() == 1) {
    warnings.push_back("policy " + request.policy.name +
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
    steps.push_back({{"timestep", step.timestep}, {"modules", std::move(modules)}});
  }
  return steps;
}

// Over all that decides the bits but seed and prompt.
std::string digest_of(const STDiT3Config& config, const RenderRequest& request,
                      const CachePolicy& policy, const Plan& plan) {
  const ScoreSettings score = policy.score_settings();
  const Json all{
      {"config",
       {config.hidden, config.heads, config.depth, config.mlp_hidden, config.caption_channels,
        config.model_max_length, config.in_channels, config.out_channels, config.patch[0],
        config.patch[1], config.patch[2], config.input_sq_size, config.qk_norm}},
      {"request", {request.frames, request.height, request.width, request.fps, request.guidance}},
      {"score",
       {static_cast<int>(score.score), score.staleness_weight, score.spread_cell,
        score.spread_factor}},
      {"upstream", policy.upstream_fidelity()},
      {"steps", decisions_of(plan)}};
  const std::string text = all.dump();
  return sha256_hex(std::as_bytes(std::span(text)));
}

}  // namespace

LatentSize latent_size(const RenderRequest& request) {
  const int64_t rest = request.frames % kGroupFrames;
  return {.frames = request.frames / kGroupFrames * kGroupLatentFrames +
                    (rest + kFramesPerLatent - 1) / kFramesPerLatent,
          .height = request.height / kPixelsPerLatent,
          .width = request.width / kPixelsPerLatent};
}

PolicyContext policy_context(const STDiT3Config& config, const RenderRequest& request) {
  const LatentSize size = latent_size(request);
  return {.steps = request.steps,
          .depth = config.depth,
          .tokens = token_grid(config, size.frames, size.height, size.width).tokens(),
          .temporal_blocks = true,
          .time_shift = static_cast<double>(timestep_shift(times_of(request, size)))};
}

std::vector<int> refresh_points(const Plan& plan) {
  std::vector<int> points;
  for (const PlannedStep& step : plan.steps) {
    if (step.refresh_point) points.push_back(step.step);
  }
  return points;
}

Plan make_plan(const STDiT3Config& config, const RenderRequest& request, DType dtype,
               const PlanBytes& bytes) {
  const LatentSize size = latent_size(request);
  const TokenGrid grid = token_grid(config, size.frames, size.height, size.width);
  const PolicyContext context = policy_context(config, request);
  const auto policy = make_policy(request.policy, context);
  const auto none = make_policy({}, context);

  Plan plan;
  plan.tokens = grid.tokens();
  plan.tokens_per_frame = grid.tokens_per_frame();
  plan.latent_frames = size.frames;
  plan.latent_height = size.height;
  plan.latent_width = size.width;
  plan.output_height = kPixelsPerLatent * size.height;
  plan.output_width = kPixelsPerLatent * size.width;
  plan.flops_none = planned_step(config, grid, request, *none, 0).flops * request.steps;

  TimestepSettings visited = times_of(request, size);
  visited.steps = policy->sampler_steps(request.steps);
  visited.upstream_fidelity = policy->upstream_fidelity();
  const std::vector<float> times = rectified_flow_timesteps(visited);
  for (size_t i = 0; i < times.size(); ++i) {
    plan.steps.push_back(planned_step(config, grid, request, *policy, static_cast<int>(i)));
    plan.steps.back().timestep = times[i];
    plan.flops += plan.steps.back().flops;
  }

  const STDiT3::Memory memory = STDiT3::memory(config, model_shape(request, size), dtype, *policy);
  plan.cache_bytes = memory.cache_bytes;
  const uint64_t denoise = memory.cache_bytes + memory.workspace_bytes + text_bytes(config, dtype) +
                           latent_bytes(config, size);
  plan.peak_bytes = bytes.weights + stdit3_weights_bytes(config, dtype) +
                    std::max(denoise, bytes.largest_other_stage);
  plan.warnings = warnings_of(request, *policy, plan);
  plan.digest = digest_of(config, request, *policy, plan);
  return plan;
}

}  // namespace engine
