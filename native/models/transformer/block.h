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
  int64_t text_tokens_nominal = 0;  // L of the nominal FLOPs
  // Whether tokens are ranked by the residual stream before every module, as the published PixArt
  // and DiT do, and not by what the MLP gets of it.
  bool ranks_residual = false;
};

// What the blocks of a step work on. N tokens a row, C channels; "compute" is the dtype of the
// products.
struct BlockBuffers {
  TensorView x;                        // [rows, N, C], fp32: the residual stream
  TensorView scratch;                  // [rows, N, C], fp32
  TensorView h;                        // [rows, N, C], compute
  TensorView wide;                     // [rows, N, max(3 C, mlp)], compute
  TensorView feature;                  // [rows, N, C], fp32; empty with a caching policy
  TensorView modulated;                // [rows, N, C], fp32: the MLP's input; empty unless wanted
  TensorView scores;                   // [rows, N], fp32
  TensorView indices;                  // [rows, N], i32
  ConstTensorView rope_cos, rope_sin;  // [T, head_dim / 2], of temporal blocks
};

class BlockRunner {
 public:
  // All references must outlive the runner.
  BlockRunner(Backend& backend, const BlockSettings& settings, const BlockBuffers& buffers,
              const CachePolicy& policy, FeatureStore& store);

  // What holds for all blocks of a step. `text_offsets` (empty without text) and `hooks` must
  // outlive it.
  void begin_step(int step, const FrameMask& frames, std::span<const int32_t> text_offsets,
                  const StepHooks& hooks);
  // Seeds of the clips; a policy that ranks at random draws from them.
  void seed(std::span<const uint64_t> clips) { selector_.seed(clips); }
  // Runs the block on buffers.x.
  void run(const BlockInput& block);

 private:
  void run_module(const BlockInput& block, Module module);
  void self_attention(const BlockInput& block, const ModuleDecision& decision);
  void refresh_self_attention(const BlockInput& block, TensorView feature);
  void cross_attention(const BlockInput& block, const ModuleDecision& decision);
  void refresh_cross_attention(const BlockInput& block, TensorView feature);
  void partial_cross_attention(const BlockInput& block, int64_t k, TensorView feature);
  void mlp(const BlockInput& block, const ModuleDecision& decision);
  void partial_mlp(const BlockInput& block, int64_t k, TensorView feature);

  // LN(x + pending terms)(1 + scale) + shift, of all tokens or of `indices`.
  void normalise(const Modulation& noisy, const Modulation& clean, ConstTensorView indices,
                 TensorView output);
  // h [rows · tokens, C] through fc1, GELU, fc2.
  void mlp_products(const BlockInput& block, int64_t tokens, TensorView output);
  void attend_text(const BlockInput& block, int64_t tokens, ConstTensorView query_input,
                   TensorView half_entropy, ConstTensorView indices, TensorView output);
  // Whether a ranking reads what a refresh of `source` at this step says of the tokens.
  bool ranking_reads(const BlockInput& block, Module source) const;

  void push(const ResidualTerm& term);
  // Adds the pending terms to x.
  void flush();

  ModuleSite site(const BlockInput& block, Module module) const;
  TensorView feature_of(const BlockInput& block, Module module) const;
  void report(const BlockInput& block, Module module, const ModuleDecision& decision,
              double seconds);
  void tap_module(const BlockInput& block, Module module);

  Backend& backend_;
  BlockSettings settings_;
  BlockBuffers space_;
  const CachePolicy& policy_;
  FeatureStore& store_;
  TokenSelector selector_;

  int step_ = 0;
  FrameMask frames_;
  std::span<const int32_t> text_offsets_;
  const StepHooks* hooks_ = nullptr;
  ConstTensorView chosen_;  // the last selection, [rows, k]
  std::array<ResidualTerm, kMaxResidualTerms> pending_;
  int pending_count_ = 0;
};

}  // namespace engine
