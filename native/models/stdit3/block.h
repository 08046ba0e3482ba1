// One spatial or temporal block of a step: self-attention, cross-attention, MLP, each computed in
// full, for the chosen tokens, or taken from the cache, as the policy decides.
//
//   x += gate ⊙ SA(LN(x)(1 + scale) + shift);  x += CA(x, text);  x += gate ⊙ MLP(...)
//
// Residual terms are collected and added as late as possible: where nothing reads x in between
// (both attentions reused), one pass adds all three, and the MLP's selected rows are gathered,
// normalised and modulated with the pending terms folded in.
#pragma once

#include <array>

#include "cache/token_selector.h"
#include "models/stdit3/conditioning.h"

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
  const STDiT3BlockWeights* weights = nullptr;
  BlockVectors noisy, clean;  // for tokens of noisy and of clean frames
  ConstTensorView key_value;  // [text tokens, 2, heads, head_dim]
};

struct BlockSettings {
  const STDiT3Config* config = nullptr;
  TokenGrid grid;
  int64_t rows = 0;
  int64_t text_tokens_nominal = 0;  // L of the nominal FLOPs
};

class BlockRunner {
 public:
  // All references must outlive the runner.
  BlockRunner(Backend& backend, const BlockSettings& settings, const Workspace& space,
              const CachePolicy& policy, FeatureStore& store);

  // What holds for all blocks of a step. `text_offsets` and `hooks` must outlive it.
  void begin_step(int step, const FrameMask& frames, std::span<const int32_t> text_offsets,
                  const StepHooks& hooks);
  // Runs the block on space.x.
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
  // Whether a later ranking reads the entropies of a refresh at this step.
  bool entropy_is_read(const BlockInput& block) const;

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
  const Workspace& space_;
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
