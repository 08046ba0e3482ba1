#include "models/transformer/trunk.h"

#include <algorithm>

#include "core/check.h"
#include "engine/error.h"

namespace engine {

namespace {

TrunkCacheShape trunk_shape(const FeatureStoreShape& shape) {
  return {
      .rows = shape.rows, .tokens = shape.tokens, .channels = shape.channels, .needs = shape.needs};
}

// Every block of a model, in order of execution.
std::vector<ModulePlace> places_of(const FeatureStoreShape& shape) {
  std::vector<ModulePlace> places;
  for (int layer = 0; layer < shape.depth; ++layer) {
    if (!shape.temporal_blocks) {
      places.push_back({.layer = layer, .block = BlockKind::kJoint});
      continue;
    }
    places.push_back({.layer = layer, .block = BlockKind::kSpatial});
    places.push_back({.layer = layer, .block = BlockKind::kTemporal});
  }
  return places;
}

std::optional<TokenClusters> make_clusters(Backend& backend, const FeatureStoreShape& shape,
                                           int64_t clips) {
  if (shape.needs.clusters.count == 0) return std::nullopt;
  return std::make_optional<TokenClusters>(backend, shape, clips);
}

void stop_if_cancelled(int step, const StepHooks& hooks) {
  if (!hooks.cancelled || !hooks.cancelled()) return;
  throw Error(ErrorCode::kCancelled, "the render was cancelled in step " + std::to_string(step));
}

}  // namespace

Trunk::Trunk(Backend& backend, const BlockSettings& settings, const BlockBuffers& buffers,
             const CachePolicy& policy, const FeatureStoreShape& shape)
    : policy_(policy),
      backend_(backend),
      all_x_(buffers.x),
      x_(buffers.x),
      scratch_(buffers.scratch),
      depth_(shape.depth),
      blocks_per_layer_(shape.temporal_blocks ? 2 : 1),
      needs_(shape.needs),
      store_(backend, shape),
      cache_(backend, trunk_shape(shape)),
      clusters_(make_clusters(backend, shape, settings.clips)),
      blocks_(backend, settings, buffers, policy, store_, clusters_ ? &*clusters_ : nullptr) {
  if (needs_.shared != SharedFold::kNone) {
    shared_.emplace(backend, store_, policy.score_settings(), places_of(shape), buffers.scores,
                    buffers.indices);
  }
  if (policy.is_dynamic() && settings.clips > 1) {
    throw Error(ErrorCode::kInvalidArgument,
                "a policy that decides from what it measures renders one clip at a time, not " +
                    std::to_string(settings.clips));
  }
  begin_clip();
}

uint64_t Trunk::cache_bytes(const FeatureStoreShape& shape) {
  return FeatureStore::bytes_of(shape) + TrunkCache::bytes_of(trunk_shape(shape)) +
         TokenClusters::bytes_of(shape) +
         BlockRunner::bytes_of(shape.needs, {shape.rows, shape.tokens, shape.channels}) +
         (shape.needs.shared == SharedFold::kNone
              ? 0
              : SharedSelector::bytes_of(shape.rows, shape.tokens));
}

void Trunk::begin_clip() {
  decisions_ = policy_.begin();
  store_.begin_clip();
  cache_.begin_clip();
  if (clusters_) clusters_->begin_clip();
  blocks_.begin_clip();
}

void Trunk::run(const BlockStep& step, const BlockAt& block_at, const StepHooks& hooks) {
  step_ = step.step;
  x_ = all_x_.rows(0, step.rows);
  BlockStep decided = step;
  decided.decisions = decisions_.get();
  blocks_.begin_step(decided, hooks);
  const LayerSpan span = span_at(step_);
  if (hooks.recorder != nullptr) hooks.recorder->begin(step_, x_);
  StepChanges changes;
  if (needs_.changes.modulated_input) {
    blocks_.modulate_input(block_at(0), scratch_);
    changes.modulated_input = cache_.modulated_input(scratch_);
  }
  changes.input = cache_.begin_step(x_);
  run_layers(0, span.first, block_at, hooks);
  changes.front = cache_.reach_span(x_);

  const TrunkDecision decision = decisions_->decide_trunk(step_, changes);
  if (hooks.on_trunk) hooks.on_trunk(step_, decision, decisions_->is_refresh_point(step_));
  const std::optional<int64_t> chosen = policy_.shared_tokens(step_);
  if (shared_ && !chosen) shared_->forget();
  if (chosen) {
    run_chosen(*chosen, block_at, hooks);
  } else if (decision == TrunkDecision::kRun) {
    cache_.run(x_);
    run_layers(span.first, span.last, block_at, hooks);
    changes.residual = cache_.ran(step_, x_);
  } else {
    skip_layers(span, decision, block_at, hooks);
  }
  if (!chosen) run_layers(span.last, depth_, block_at, hooks);
  if (hooks.recorder != nullptr) hooks.recorder->end(x_);
  changes.output = cache_.end_step(x_);
  changes.module = blocks_.module_change();
  changes.verification = blocks_.verification();
  decisions_->end_step(step_, changes);
}

LayerSpan Trunk::span_at(int step) const {
  const LayerSpan span = policy_.span(step);
  const int last = std::min(span.last, depth_);
  check(span.first >= 0 && span.first <= last, "a policy's span ends before it begins");
  return {span.first, last};
}

void Trunk::run_layers(int first, int last, const BlockAt& block_at, const StepHooks& hooks) {
  for (int i = first * blocks_per_layer_; i < last * blocks_per_layer_; ++i) {
    stop_if_cancelled(step_, hooks);
    const BlockInput block = block_at(i);
    if (decisions_->verifies() && i + 1 == depth_ * blocks_per_layer_) {
      blocks_.verify(block);
    } else {
      blocks_.run(block);
    }
    if (hooks.tap) {
      hooks.tap("block." + std::to_string(block.layer) + "." + block_kind_name(block.kind), x_);
    }
  }
}

void Trunk::run_chosen(int64_t tokens, const BlockAt& block_at, const StepHooks& hooks) {
  check(shared_.has_value(), "a policy that chooses for all blocks says so in its needs");
  const int blocks = depth_ * blocks_per_layer_;
  const ConstTensorView chosen = shared_->select(tokens);
  for (int i = 0; i < blocks; ++i) {
    stop_if_cancelled(step_, hooks);
    blocks_.run_chosen(block_at(i), chosen);
  }
  // The chosen tokens are through. All take the short way now, but for those the result stands.
  TensorView through;
  if (!chosen.empty()) {
    through = {scratch_.data(), DType::kF32, {x_.dim(0), tokens, x_.dim(2)}};
    backend_.gather_rows({.input = x_, .indices = chosen, .output = through});
  }
  if (needs_.shared == SharedFold::kTrunk) {
    cache_.stand_in(step_, TrunkDecision::kReuse, x_);
  } else {
    for (int i = 0; i < blocks; ++i) blocks_.add_kept(block_at(i));
  }
  if (!chosen.empty()) {
    backend_.scatter_rows({.input = through, .indices = chosen, .output = x_});
  }
}

void Trunk::skip_layers(const LayerSpan& span, TrunkDecision decision, const BlockAt& block_at,
                        const StepHooks& hooks) {
  stop_if_cancelled(step_, hooks);
  cache_.stand_in(step_, decision, x_);
  if (!hooks.on_module) return;
  const bool reused = decision == TrunkDecision::kReuse;
  for (int i = span.first * blocks_per_layer_; i < span.last * blocks_per_layer_; ++i) {
    blocks_.report_skipped(block_at(i), reused ? Decision::kReuse : Decision::kForecast);
  }
}

}  // namespace engine
