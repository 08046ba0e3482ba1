// One block of a step, of any transformer: self-attention, cross-attention if it has one, MLP, each
// computed in full, for the chosen tokens, or taken from the cache, as the policy decides.
//
//   x += gate ⊙ SA(LN(x)(1 + scale) + shift);  x += CA(x, text);  x += gate ⊙ MLP(...)
//
// Residual terms are collected and added as late as possible: where nothing reads x in between
// (both attentions reused), one pass adds all three, and the MLP's selected rows are gathered,
// normalised and modulated with the pending terms folded in.
#pragma once

#include <array>

#include "cache/change_meter.h"
#include "cache/token_clusters.h"
#include "cache/token_selector.h"
#include "models/transformer/step_hooks.h"
#include "models/transformer/weights.h"

namespace engine {

// Vectors of the modulated modules, from one block's row of TimeBuffers::blocks.
struct Modulation {
  RowVectors shift, scale, gate;
};
struct BlockVectors {
  Modulation attn, mlp;
};
// `vectors` [rows, 6 hidden].
BlockVectors block_vectors(ConstTensorView vectors, int64_t hidden);

struct BlockInput {
  int layer = 0;
  BlockKind kind = BlockKind::kSpatial;
  const BlockWeights* weights = nullptr;
  BlockVectors noisy, clean;  // for tokens of noisy and of clean frames
  ConstTensorView key_value;  // [text tokens, 2, heads, head_dim]; empty without cross-attention
};

struct BlockSettings {
  BlockSizes sizes;
  TokenGrid grid;
  int64_t rows = 0;
  int64_t clips = 1;
  int64_t text_tokens_nominal = 0;  // L of the nominal FLOPs
  // Whether tokens are ranked by the residual stream before every module, as the published PixArt
  // and DiT do, and not by what the MLP gets of it.
  bool ranks_residual = false;
};

// What the blocks of a step work on. N tokens a row, C channels; "compute" is the dtype of the
// products.
struct BlockBuffers {
  TensorView x;        // [rows, N, C], fp32: the residual stream
  TensorView scratch;  // [rows, N, C], fp32
  TensorView h;        // [rows, N, C], compute
  TensorView wide;     // [rows, N, max(3 C, mlp)], compute
  // [rows, N, C], fp32: an attention's output; empty where a caching policy's store takes it
  // directly
  TensorView feature;
  TensorView modulated;                // [rows, N, C], fp32: the MLP's input; empty unless wanted
  TensorView scores;                   // [rows, N], fp32
  TensorView indices;                  // [rows, N], i32
  ConstTensorView rope_cos, rope_sin;  // [T, head_dim / 2], of temporal blocks

  // The same for the first `count` rows alone.
  BlockBuffers first_rows(int64_t count) const {
    BlockBuffers part = *this;
    for (TensorView* const each : {&part.x, &part.scratch, &part.h, &part.wide, &part.feature,
                                   &part.modulated, &part.scores, &part.indices}) {
      if (!each->empty()) *each = each->rows(0, count);
    }
    return part;
  }
};

// What holds for all blocks of a step.
struct BlockStep {
  int step = 0;  // what the policy is asked about
  // The first so many rows are computed: all, or the conditional half.
  int64_t rows = 0;
  FrameMask frames = {};
  std::span<const int32_t> text_offsets = {};  // empty without text
  const PolicyRun* decisions = nullptr;
};

class BlockRunner {
 public:
  // All references must outlive the runner. `clusters`: null unless the policy wants groups of
  // tokens.
  BlockRunner(Backend& backend, const BlockSettings& settings, const BlockBuffers& buffers,
              const CachePolicy& policy, FeatureStore& store, TokenClusters* clusters);

  // What the runner allocates beside its buffers.
  static uint64_t bytes_of(const CacheNeeds& needs, const Shape& stream);

  // Before the first step of every clip.
  void begin_clip();
  // What holds for all blocks of a step; all of it must outlive the step. Rows that are left out
  // stay as they are.
  void begin_step(const BlockStep& step, const StepHooks& hooks);
  // Seeds of the clips; a policy that ranks at random draws from them.
  void seed(std::span<const uint64_t> clips) { selector_.seed(clips); }
  // Runs the block on buffers.x.
  void run(const BlockInput& block);
  // Runs the block on a copy of buffers.x by its forecasts, and computed on buffers.x itself, and
  // compares the two.
  void verify(const BlockInput& block);
  // Runs the block for the tokens `chosen` [rows, k], i32, alone: their MLP is computed, all else
  // is what was kept. k may be 0.
  void run_chosen(const BlockInput& block, ConstTensorView chosen);
  // Adds to every token what was kept of the block's modules.
  void add_kept(const BlockInput& block);
  // Tells of a block whose place something kept of the trunk takes: Decision kReuse or kForecast.
  void report_skipped(const BlockInput& block, Decision decision);
  // What the block's self-attention is given, [rows, N, C], fp32.
  void modulate_input(const BlockInput& block, TensorView output);
  // Of the module that the policy has measured, in this step; empty where it was not refreshed.
  const std::optional<Change>& module_change() const { return module_change_; }
  // From what was computed to what was forecast, of the block verified in this step.
  const std::optional<Change>& verification() const { return verification_; }

 private:
  void run_module(const BlockInput& block, Module module);
  // Adds what the module's differences say its output is.
  void forecast(const BlockInput& block, Module module);
  void self_attention(const BlockInput& block, const ModuleDecision& decision);
  void refresh_self_attention(const BlockInput& block);
  void cross_attention(const BlockInput& block, const ModuleDecision& decision);
  // The mean of both guidance halves takes the place of both.
  void merge_halves(TensorView feature);
  void refresh_cross_attention(const BlockInput& block);
  void partial_cross_attention(const BlockInput& block, int64_t k, TensorView feature);
  void mlp(const BlockInput& block, const ModuleDecision& decision);
  void partial_mlp(const BlockInput& block, int64_t k, TensorView feature);
  // The MLP of one token of each group, and the forecasts of the others corrected by it.
  void clustered_mlp(const BlockInput& block, int64_t k, TensorView feature);
  // The MLP of the chosen tokens, into `feature`.
  void recompute_mlp(const BlockInput& block, TensorView feature);
  // The chosen tokens through norm, fc1 and GELU, [rows · k, mlp].
  ConstTensorView chosen_middle(const BlockInput& block);
  // A module's last product of the chosen tokens, into their places in `feature`.
  void scatter_product(const LinearWeights& weights, ConstTensorView input, TensorView feature);

  // LN(x + pending terms)(1 + scale) + shift, of all tokens or of `indices`.
  void normalise(const Modulation& noisy, const Modulation& clean, ConstTensorView indices,
                 TensorView output);
  // h [rows · tokens, C] through fc1 and GELU.
  ConstTensorView mlp_middle(const BlockInput& block, int64_t tokens);
  // What cross-attention's last product is given, [rows · tokens, C].
  ConstTensorView attend_text(const BlockInput& block, int64_t tokens, ConstTensorView query_input,
                              TensorView half_entropy, ConstTensorView indices);
  // A module's last product: into fresh_of() where anything reads it, and gated onto x.
  void add_product(const BlockInput& block, Module module, const LinearWeights& weights,
                   ConstTensorView input);
  // Whether what modules put out is read by anything but x.
  bool reads_outputs() const;
  // Whether a ranking reads what a refresh of `source` at this step says of the tokens.
  bool ranking_reads(const BlockInput& block, Module source) const;

  void push(const ResidualTerm& term);
  void push_kept_attention(const BlockInput& block);
  // What the module adds to x, as feature_of() has it.
  ResidualTerm term_of(const BlockInput& block, Module module) const;
  // Adds the pending terms to x: of all tokens, or of `indices`.
  void flush(ConstTensorView indices = {});

  ModuleSite site(const BlockInput& block, Module module) const;
  // Where a module's output is made that is not made in the cache.
  TensorView own_buffer(Module module) const;
  TensorView feature_of(const BlockInput& block, Module module) const;
  // Where a refresh leaves the module's output, before keep() has it in feature_of() unless the
  // block is being verified.
  TensorView fresh_of(const BlockInput& block, Module module) const;
  // What goes on: a refresh as it was computed, not as it is kept.
  TensorView output_of(const BlockInput& block, Module module, Decision decision) const;
  void keep(const BlockInput& block, Module module);
  void report(const BlockInput& block, Module module, const ModuleDecision& decision,
              double seconds);
  void tap_module(const BlockInput& block, Module module, Decision decision);
  void record(const BlockInput& block, Module module);

  Backend& backend_;
  BlockSettings settings_;
  BlockBuffers all_;
  int64_t rows_;        // that the step computes
  BlockBuffers space_;  // of these rows
  const CachePolicy& policy_;
  FeatureStore& store_;
  TokenClusters* clusters_;
  TokenSelector selector_;
  CacheNeeds needs_;
  std::optional<ChangeMeter> meter_;

  BlockStep step_;
  Remembered measured_;  // that module's last output
  std::optional<Change> module_change_;
  Tensor draft_;  // [rows, N, C], fp32: the stream after the last block as forecast
  std::optional<Change> verification_;
  bool verifying_ = false;
  const StepHooks* hooks_ = nullptr;
  ConstTensorView chosen_;  // the last selection, [rows, k]
  std::array<ResidualTerm, kMaxResidualTerms> pending_;
  int pending_count_ = 0;
};

}  // namespace engine
