// The operations of backend.h as plain loops: the definition of what is right, used by tests alone.
// Elements are read as float, sums run in double, in index order, and each result is rounded once.
#pragma once

#include <memory>

#include "backend/backend.h"

namespace engine::plain {

std::unique_ptr<LinearWeights> pack_linear(ConstTensorView weight, ConstTensorView bias,
                                           DType compute);
std::unique_ptr<ConvWeights> pack_conv(ConstTensorView weight, ConstTensorView bias,
                                       ConvGeometry geometry, DType compute);
double activated(double value, Activation activation);

void linear(const LinearArgs& args);
void linear_residual(const LinearResidualArgs& args);
void linear_scatter(const LinearScatterArgs& args);
void layer_norm_modulate(const LayerNormModulateArgs& args);
void rms_norm(const RmsNormArgs& args);
void group_norm(const GroupNormArgs& args);
void self_attention(const SelfAttentionArgs& args);
void cross_attention(const CrossAttentionArgs& args);
void biased_attention(const BiasedAttentionArgs& args);
// x + every term for channel c of token n in batch row b, in float, term by term.
float residual_value(float x, const std::array<ResidualTerm, kMaxResidualTerms>& terms, int count,
                     bool noisy, int64_t row, int64_t element, int64_t channel);
bool is_noisy(const FrameMask& frames, int64_t row, int64_t token);
void residual_add(const ResidualAddArgs& args);
void token_scores(const TokenScoresArgs& args);
void value_scores(const ValueScoresArgs& args);
void spread_scores(const SpreadScoresArgs& args);
void select_tokens(const SelectTokensArgs& args);
void gather_rows(const GatherRowsArgs& args);
void scatter_rows(const ScatterRowsArgs& args);
void patchify(const PatchifyArgs& args);
void unpatchify(const UnpatchifyArgs& args);
void timestep_embedding(const TimestepEmbeddingArgs& args);
void token_embedding(const TokenEmbeddingArgs& args);
void add_rows(const AddRowsArgs& args);
void activate(const ActivateArgs& args);
void gated_gelu(const GatedGeluArgs& args);
void add(const AddArgs& args);
void convert(const ConvertArgs& args);
void conv(const ConvArgs& args);
void channels_to_time(const ChannelsToTimeArgs& args);
void channels_last(const ChannelsLastArgs& args);
void channels_first(const ChannelsFirstArgs& args);
void frames_to_rgb8(const FramesToRgb8Args& args);
void guided_euler(const GuidedEulerArgs& args);
void renoise_frames(const RenoiseFramesArgs& args);
void guided_noise(const GuidedNoiseArgs& args);
void weighted_sum(const WeightedSumArgs& args);
void learned_variance_noise(const LearnedVarianceNoiseArgs& args);
void relative_l1(const RelativeL1Args& args);
void update_differences(const UpdateDifferencesArgs& args);
void low_pass(const LowPassArgs& args);
void cluster_tokens(const ClusterTokensArgs& args);
void raise_representatives(const RaiseRepresentativesArgs& args);
void blend_clusters(const BlendClustersArgs& args);

}  // namespace engine::plain
