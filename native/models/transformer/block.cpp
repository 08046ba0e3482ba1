#include "models/transformer/block.h"

#include <chrono>
#include <cmath>
#include <utility>

#include "core/check.h"
#include "engine/error.h"

namespace engine {

namespace {

// The front of a buffer in another shape.
TensorView front(TensorView buffer, const Shape& shape) {
  return {buffer.data(), buffer.dtype(), shape};
}

float attention_scale(const BlockSizes& sizes) {
  return 1.0f / std::sqrt(static_cast<float>(sizes.head_dim()));
}

}  // namespace

BlockVectors block_vectors(ConstTensorView vectors, int64_t hidden) {
  const auto at = [&](int64_t i) { return RowVectors{vectors.f32() + i * hidden, 6 * hidden}; };
  return {.attn = {at(0), at(1), at(2)}, .mlp = {at(3), at(4), at(5)}};
}

BlockRunner::BlockRunner(Backend& backend, const BlockSettings& settings,
                         const BlockBuffers& buffers, const CachePolicy& policy,
                         FeatureStore& store, TokenClusters* clusters)
    : backend_(backend),
      settings_(settings),
      all_(buffers),
      rows_(settings.rows),
      space_(buffers),
      policy_(policy),
      store_(store),
      clusters_(clusters),
      selector_(backend, store, policy.score_settings(),
                {.rows = settings.rows,
                 .frames = settings.grid.frames,
                 .height = settings.grid.height,
                 .width = settings.grid.width},
                buffers.scores, buffers.indices),
      needs_(policy.kept_needs()) {
  if (needs_.merges_guidance && settings.rows != 2 * settings.clips) {
    throw Error(ErrorCode::kInvalidArgument,
                "a policy that takes the mean of both guidance halves needs guidance");
  }
  const ChangeNeeds& changes = needs_.changes;
  if (changes.module || changes.verification) meter_.emplace(backend, settings.rows);
  if (changes.module) measured_ = Remembered(backend, buffers.x.shape());
  if (changes.verification) draft_ = backend.allocate(buffers.x.shape(), DType::kF32);
}

uint64_t BlockRunner::bytes_of(const CacheNeeds& needs, const Shape& stream) {
  const int streams = (needs.changes.module ? 1 : 0) + (needs.changes.verification ? 1 : 0);
  if (streams == 0) return 0;
  return ChangeMeter::bytes_of(stream[0]) +
         static_cast<uint64_t>(streams * stream.elements()) * sizeof(float);
}

void BlockRunner::begin_clip() {
  measured_.forget();
}

void BlockRunner::begin_step(const BlockStep& step, const StepHooks& hooks) {
  check(step.rows == settings_.rows || (step.rows == settings_.clips && !needs_.features),
        "a step computes all rows, or the conditional half where nothing is kept of modules");
  step_ = step;
  rows_ = step.rows;
  space_ = all_.first_rows(rows_);
  hooks_ = &hooks;
  module_change_.reset();
  verification_.reset();
  verifying_ = false;
  selector_.observe(hooks.selection);
}

void BlockRunner::run(const BlockInput& block) {
  pending_count_ = 0;
  run_module(block, Module::kSelfAttention);
  if (!block.key_value.empty()) run_module(block, Module::kCrossAttention);
  run_module(block, Module::kMlp);
}

void BlockRunner::verify(const BlockInput& block) {
  check(!draft_.empty(), "a policy that verifies says so in its needs");
  backend_.convert({.input = space_.x, .output = draft_});
  const TensorView stream = std::exchange(space_.x, draft_);
  pending_count_ = 0;
  for (const Module module : {Module::kSelfAttention, Module::kCrossAttention, Module::kMlp}) {
    if (module == Module::kCrossAttention && block.key_value.empty()) continue;
    forecast(block, module);
  }
  space_.x = stream;
  verifying_ = true;
  run(block);
  verifying_ = false;
  verification_ = meter_->measure(draft_, space_.x);
}

void BlockRunner::run_chosen(const BlockInput& block, ConstTensorView chosen) {
  const auto start = std::chrono::steady_clock::now();
  pending_count_ = 0;
  chosen_ = chosen;
  if (!chosen.empty()) {
    push_kept_attention(block);
    recompute_mlp(block, feature_of(block, Module::kMlp));
    push(term_of(block, Module::kMlp));
    flush(chosen);
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  const auto tell = [&](Module module, const ModuleDecision& decision, double seconds) {
    store_.begin_module(site(block, module), decision.decision);
    report(block, module, decision, seconds);
  };
  chosen_ = {};
  tell(Module::kSelfAttention, {Decision::kReuse, 0}, 0);
  if (!block.key_value.empty()) tell(Module::kCrossAttention, {Decision::kReuse, 0}, 0);
  chosen_ = chosen;
  const int64_t tokens = chosen.empty() ? 0 : chosen.dim(1);
  tell(Module::kMlp, {Decision::kPartial, tokens}, elapsed.count());
}

void BlockRunner::add_kept(const BlockInput& block) {
  pending_count_ = 0;
  push_kept_attention(block);
  push(term_of(block, Module::kMlp));
  flush();
}

void BlockRunner::run_module(const BlockInput& block, Module module) {
  const ModuleDecision decision = step_.decisions->decide(site(block, module));
  // What a group takes of its token corrects a forecast: it is no reuse that could have drifted.
  const bool corrects = clusters_ != nullptr && decision.decision == Decision::kPartial;
  store_.begin_module(site(block, module), corrects ? Decision::kForecast : decision.decision);
  const auto start = std::chrono::steady_clock::now();
  chosen_ = {};
  if (decision.decision == Decision::kForecast) {
    forecast(block, module);
  } else if (module == Module::kSelfAttention) {
    self_attention(block, decision);
  } else if (module == Module::kCrossAttention) {
    cross_attention(block, decision);
  } else {
    mlp(block, decision);
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  if (hooks_->tap) tap_module(block, module, decision.decision);
  if (hooks_->recorder != nullptr) record(block, module);
  report(block, module, decision, elapsed.count());
}

void BlockRunner::forecast(const BlockInput& block, Module module) {
  store_.forecast(site(block, module), space_.scratch);
  ResidualTerm term = term_of(block, module);
  term.feature = space_.scratch;
  push(term);
  flush();  // scratch is used again
}

void BlockRunner::self_attention(const BlockInput& block, const ModuleDecision& decision) {
  check(decision.decision != Decision::kPartial, "self-attention is never partial");
  if (decision.decision == Decision::kRefresh) {
    refresh_self_attention(block);
    return keep(block, Module::kSelfAttention);
  }
  push(term_of(block, Module::kSelfAttention));
}

void BlockRunner::refresh_self_attention(const BlockInput& block) {
  const BlockSizes& sizes = settings_.sizes;
  const int64_t rows = rows_, tokens = settings_.grid.tokens(), hidden = sizes.hidden;
  const int64_t frames = settings_.grid.frames, spatial = settings_.grid.tokens_per_frame();
  normalise(block.noisy.attn, block.clean.attn, {}, space_.h);
  const Shape flat{rows * tokens, hidden};
  backend_.linear({.weights = block.weights->qkv.get(),
                   .input = space_.h.reshaped(flat),
                   .output = front(space_.wide, {rows * tokens, 3 * hidden})});
  SelfAttentionArgs attention;
  attention.qkv = front(space_.wide, {rows, frames, spatial, 3, sizes.heads, sizes.head_dim()});
  attention.q_norm = block.weights->q_norm;
  attention.k_norm = block.weights->k_norm;
  attention.scale = attention_scale(sizes);
  attention.output = space_.h.reshaped({rows, frames, spatial, hidden});
  if (block.kind == BlockKind::kTemporal) {
    attention.axis = AttentionAxis::kTemporal;
    attention.rope_cos = space_.rope_cos;
    attention.rope_sin = space_.rope_sin;
  }
  if (ranking_reads(block, Module::kSelfAttention)) {
    const auto statistic = [&](TokenScore score) {
      const TensorView kept = store_.statistic(block.layer, block.kind, score);
      return kept.empty() ? kept : kept.reshaped({rows, frames, spatial});
    };
    attention.column_sums = statistic(TokenScore::kAttention);
    const TensorView values = statistic(TokenScore::kValueNorm);
    if (!values.empty()) backend_.value_scores({.qkv = attention.qkv, .scores = values});
  }
  backend_.self_attention(attention);
  add_product(block, Module::kSelfAttention, *block.weights->attn_proj, space_.h.reshaped(flat));
}

void BlockRunner::cross_attention(const BlockInput& block, const ModuleDecision& decision) {
  const TensorView feature = feature_of(block, Module::kCrossAttention);
  if (decision.decision == Decision::kRefresh) {
    refresh_cross_attention(block);
    keep(block, Module::kCrossAttention);
    return store_.reset_counters(block.layer, block.kind, Module::kCrossAttention);
  }
  if (decision.decision == Decision::kPartial) {
    partial_cross_attention(block, decision.tokens, feature);
  } else if (policy_.merges_guidance(site(block, Module::kCrossAttention))) {
    merge_halves(feature);
  }
  push(term_of(block, Module::kCrossAttention));
}

void BlockRunner::merge_halves(TensorView feature) {
  const int64_t clips = settings_.clips;
  const TensorView first = feature.rows(0, clips), second = feature.rows(clips, clips);
  const TensorView merged = space_.scratch.rows(0, clips);
  WeightedSumArgs mean;
  mean.terms[0] = {0.5f, first};
  mean.terms[1] = {0.5f, second};
  mean.count = 2;
  mean.output = merged;
  backend_.weighted_sum(mean);
  backend_.convert({.input = merged, .output = first});
  backend_.convert({.input = merged, .output = second});
}

void BlockRunner::refresh_cross_attention(const BlockInput& block) {
  flush();  // its input is x itself
  const TensorView entropy = ranking_reads(block, Module::kCrossAttention)
                                 ? store_.half_entropy(block.layer, block.kind)
                                 : TensorView();
  ConstTensorView input = space_.x;
  if (space_.h.dtype() != DType::kF32) {
    backend_.convert({.input = space_.x, .output = space_.h});
    input = space_.h;
  }
  const ConstTensorView attended = attend_text(block, settings_.grid.tokens(), input, entropy, {});
  add_product(block, Module::kCrossAttention, *block.weights->proj, attended);
}

void BlockRunner::partial_cross_attention(const BlockInput& block, int64_t k, TensorView feature) {
  const bool reads_x = k > 0 || (selector_.needs_scores(k) && selector_.reads_input());
  if (reads_x) flush();
  chosen_ = selector_.select(site(block, Module::kCrossAttention), k, space_.x);
  if (k == 0) return;
  const Shape compact{rows_, k, settings_.sizes.hidden};
  const TensorView input = front(space_.h, compact);
  backend_.gather_rows({.input = space_.x, .indices = chosen_, .output = input});
  const ConstTensorView attended =
      attend_text(block, k, input, store_.half_entropy(block.layer, block.kind), chosen_);
  scatter_product(*block.weights->proj, attended, feature);
}

ConstTensorView BlockRunner::attend_text(const BlockInput& block, int64_t tokens,
                                         ConstTensorView query_input, TensorView half_entropy,
                                         ConstTensorView indices) {
  const BlockSizes& sizes = settings_.sizes;
  const int64_t rows = rows_;
  const Shape flat{rows * tokens, sizes.hidden};
  backend_.linear({.weights = block.weights->q_linear.get(),
                   .input = query_input.reshaped(flat),
                   .output = front(space_.wide, flat)});
  // The query's input is used up: its buffer takes the result, unless it is x.
  const TensorView attended = front(space_.h, {rows, tokens, sizes.hidden});
  backend_.cross_attention(
      {.query = front(space_.wide, {rows, tokens, sizes.heads, sizes.head_dim()}),
       .key_value = block.key_value.rows(0, step_.text_offsets.back()),
       .text_offsets = step_.text_offsets,
       .scale = attention_scale(sizes),
       .output = attended,
       .half_entropy = half_entropy,
       .indices = indices});
  return attended.reshaped(flat);
}

bool BlockRunner::ranking_reads(const BlockInput& block, Module source) const {
  for (const Module later : {Module::kCrossAttention, Module::kMlp}) {
    const bool runs = later != source && (later == Module::kMlp || !block.key_value.empty());
    if (runs && step_.decisions->decide(site(block, later)).decision == Decision::kPartial) {
      return true;
    }
  }
  // Blocks in front of a span run before it is decided whether the span does, and with it what is
  // left for the next step.
  if (policy_.is_dynamic()) return true;
  ModuleSite next = site(block, source);
  ++next.step;
  return step_.decisions->decide(next).decision != Decision::kRefresh;
}

void BlockRunner::mlp(const BlockInput& block, const ModuleDecision& decision) {
  ResidualTerm term = term_of(block, Module::kMlp);
  if (decision.decision == Decision::kRefresh) {
    normalise(block.noisy.mlp, block.clean.mlp, {}, space_.h);
    add_product(block, Module::kMlp, *block.weights->fc2,
                mlp_middle(block, settings_.grid.tokens()));
    keep(block, Module::kMlp);
    store_.reset_counters(block.layer, block.kind, Module::kMlp);
    if (clusters_ != nullptr) {
      clusters_->refresh(site(block, Module::kMlp), fresh_of(block, Module::kMlp));
    }
    return;
  }
  if (decision.decision == Decision::kPartial && clusters_ != nullptr) {
    clustered_mlp(block, decision.tokens, space_.feature);
    term.feature = space_.feature;
  } else if (decision.decision == Decision::kPartial) {
    partial_mlp(block, decision.tokens, feature_of(block, Module::kMlp));
    // The published code adds the MLP's input, not its output, to clean frames.
    const bool published_defect = policy_.upstream_fidelity() && !step_.frames.noisy.empty();
    if (published_defect) term.clean_feature = space_.modulated;
  }
  push(term);
  flush();
}

void BlockRunner::partial_mlp(const BlockInput& block, int64_t k, TensorView feature) {
  const bool scores_input = selector_.needs_scores(k) && selector_.reads_input();
  const bool published_defect = policy_.upstream_fidelity() && !step_.frames.noisy.empty();
  ConstTensorView ranked = space_.modulated;
  if (scores_input && settings_.ranks_residual) {
    flush();
    ranked = space_.x;
  } else if (scores_input || published_defect) {
    normalise(block.noisy.mlp, block.clean.mlp, {}, space_.modulated);
  }
  chosen_ = selector_.select(site(block, Module::kMlp), k, ranked);
  if (k > 0) recompute_mlp(block, feature);
}

void BlockRunner::clustered_mlp(const BlockInput& block, int64_t k, TensorView feature) {
  const ModuleSite here = site(block, Module::kMlp);
  flush();  // what is pending may lie in the place of `feature`
  chosen_ = selector_.select(here, k, {}, clusters_->of(here));
  const int64_t hidden = settings_.sizes.hidden;
  const TensorView computed = front(space_.scratch, {rows_, k, hidden});
  backend_.linear({.weights = block.weights->fc2.get(),
                   .input = chosen_middle(block),
                   .output = computed.reshaped({rows_ * k, hidden})});
  store_.forecast(here, feature);
  clusters_->blend(here, chosen_, computed, feature);
}

void BlockRunner::recompute_mlp(const BlockInput& block, TensorView feature) {
  scatter_product(*block.weights->fc2, chosen_middle(block), feature);
}

ConstTensorView BlockRunner::chosen_middle(const BlockInput& block) {
  const int64_t k = chosen_.dim(1);
  normalise(block.noisy.mlp, block.clean.mlp, chosen_,
            front(space_.h, {rows_, k, settings_.sizes.hidden}));
  return mlp_middle(block, k);
}

void BlockRunner::scatter_product(const LinearWeights& weights, ConstTensorView input,
                                  TensorView feature) {
  const Shape compact{rows_, chosen_.dim(1), settings_.sizes.hidden};
  backend_.linear_scatter({.weights = &weights,
                           .input = input,
                           .indices = chosen_,
                           .rows = front(space_.scratch, compact),
                           .output = feature});
}

ConstTensorView BlockRunner::mlp_middle(const BlockInput& block, int64_t tokens) {
  const BlockSizes& sizes = settings_.sizes;
  const int64_t rows = rows_ * tokens;
  const TensorView middle = front(space_.wide, {rows, sizes.mlp_hidden});
  backend_.linear({.weights = block.weights->fc1.get(),
                   .input = front(space_.h, {rows, sizes.hidden}),
                   .output = middle,
                   .activation = Activation::kGeluTanh});
  return middle;
}

void BlockRunner::add_product(const BlockInput& block, Module module, const LinearWeights& weights,
                              ConstTensorView input) {
  flush();
  const ResidualTerm term = term_of(block, module);
  backend_.linear_residual({.weights = &weights,
                            .input = input,
                            .output = fresh_of(block, module),
                            .keep_output = reads_outputs(),
                            .residual = space_.x,
                            .gate = term.gate,
                            .gate_clean = term.gate_clean,
                            .frames = step_.frames});
}

bool BlockRunner::reads_outputs() const {
  return needs_.features || needs_.changes.module || hooks_->tap || hooks_->recorder != nullptr;
}

void BlockRunner::normalise(const Modulation& noisy, const Modulation& clean,
                            ConstTensorView indices, TensorView output) {
  LayerNormModulateArgs args;
  args.input = space_.x;
  args.pending = pending_;
  args.pending_count = pending_count_;
  args.indices = indices;
  args.shift = noisy.shift;
  args.scale = noisy.scale;
  args.shift_clean = clean.shift;
  args.scale_clean = clean.scale;
  args.frames = step_.frames;
  args.output = output;
  if (indices.empty()) {
    args.settled = space_.x;
    pending_count_ = 0;
  }
  backend_.layer_norm_modulate(args);
}

void BlockRunner::push(const ResidualTerm& term) {
  check(pending_count_ < kMaxResidualTerms, "too many pending residual terms");
  pending_[static_cast<size_t>(pending_count_++)] = term;
}

void BlockRunner::push_kept_attention(const BlockInput& block) {
  push(term_of(block, Module::kSelfAttention));
  if (!block.key_value.empty()) push(term_of(block, Module::kCrossAttention));
}

ResidualTerm BlockRunner::term_of(const BlockInput& block, Module module) const {
  ResidualTerm term;
  term.feature = feature_of(block, module);
  if (module == Module::kCrossAttention) return term;
  const bool attention = module == Module::kSelfAttention;
  term.gate = attention ? block.noisy.attn.gate : block.noisy.mlp.gate;
  term.gate_clean = attention ? block.clean.attn.gate : block.clean.mlp.gate;
  return term;
}

void BlockRunner::flush(ConstTensorView indices) {
  if (pending_count_ == 0) return;
  backend_.residual_add({.residual = space_.x,
                         .indices = indices,
                         .terms = pending_,
                         .count = pending_count_,
                         .frames = step_.frames});
  pending_count_ = 0;
}

ModuleSite BlockRunner::site(const BlockInput& block, Module module) const {
  return {.step = step_.step, .layer = block.layer, .block = block.kind, .module = module};
}

TensorView BlockRunner::own_buffer(Module module) const {
  // The MLP's output is made while cross-attention's is still pending.
  return module == Module::kMlp ? space_.scratch : space_.feature;
}

TensorView BlockRunner::feature_of(const BlockInput& block, Module module) const {
  const TensorView kept = store_.feature(block.layer, block.kind, module);
  return kept.empty() || verifying_ ? own_buffer(module) : kept;
}

TensorView BlockRunner::fresh_of(const BlockInput& block, Module module) const {
  return needs_.refreshes_apart() ? own_buffer(module) : feature_of(block, module);
}

TensorView BlockRunner::output_of(const BlockInput& block, Module module, Decision decision) const {
  return decision == Decision::kRefresh ? fresh_of(block, module) : feature_of(block, module);
}

void BlockRunner::keep(const BlockInput& block, Module module) {
  if (verifying_) return;
  const TensorView fresh = fresh_of(block, module);
  const std::optional<ModulePlace>& place = needs_.changes.module;
  if (place && place->layer == block.layer && place->block == block.kind &&
      place->module == module) {
    module_change_ = measured_.compare(*meter_, fresh);
    measured_.remember(backend_, fresh);
  }
  if (needs_.refreshes_apart()) store_.refresh(site(block, module), fresh);
}

void BlockRunner::modulate_input(const BlockInput& block, TensorView output) {
  pending_count_ = 0;
  normalise(block.noisy.attn, block.clean.attn, {}, output);
}

}  // namespace engine
