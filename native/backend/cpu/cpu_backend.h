// The CPU backend: memory of the host, and the operations of this folder's families.
#pragma once

#include "backend/backend.h"
#include "backend/cpu/context.h"

namespace engine::cpu {

class CpuBackend : public Backend {
 public:
  explicit CpuBackend(const CpuOptions& options);

  const BackendInfo& info() const override { return info_; }
  Tensor allocate(Shape shape, DType dtype) override;
  void upload(ConstTensorView host, TensorView device) override;
  void download(ConstTensorView device, TensorView host) override;
  uint64_t free_memory_bytes() const override;
  void synchronize() override {}

  std::unique_ptr<LinearWeights> pack_linear(ConstTensorView weight, ConstTensorView bias,
                                             DType compute) override;
  std::unique_ptr<ConvWeights> pack_conv(ConstTensorView weight, ConstTensorView bias,
                                         ConvGeometry geometry, DType compute) override;
  Tensor pack_tensor(ConstTensorView values, DType dtype) override;
  void keep_packed_in(PackedStore* store) override;

  void linear(const LinearArgs& args) override;
  void linear_residual(const LinearResidualArgs& args) override;
  void linear_scatter(const LinearScatterArgs& args) override;
  void layer_norm_modulate(const LayerNormModulateArgs& args) override;
  void rms_norm(const RmsNormArgs& args) override;
  void group_norm(const GroupNormArgs& args) override;
  void self_attention(const SelfAttentionArgs& args) override;
  void cross_attention(const CrossAttentionArgs& args) override;
  void biased_attention(const BiasedAttentionArgs& args) override;
  void residual_add(const ResidualAddArgs& args) override;
  void token_scores(const TokenScoresArgs& args) override;
  void value_scores(const ValueScoresArgs& args) override;
  void spread_scores(const SpreadScoresArgs& args) override;
  void select_tokens(const SelectTokensArgs& args) override;
  void gather_rows(const GatherRowsArgs& args) override;
  void scatter_rows(const ScatterRowsArgs& args) override;
  void patchify(const PatchifyArgs& args) override;
  void unpatchify(const UnpatchifyArgs& args) override;
  void timestep_embedding(const TimestepEmbeddingArgs& args) override;
  void token_embedding(const TokenEmbeddingArgs& args) override;
  void add_rows(const AddRowsArgs& args) override;
  void activate(const ActivateArgs& args) override;
  void gated_gelu(const GatedGeluArgs& args) override;
  void add(const AddArgs& args) override;
  void convert(const ConvertArgs& args) override;
  void conv(const ConvArgs& args) override;
  void channels_to_time(const ChannelsToTimeArgs& args) override;
  void channels_last(const ChannelsLastArgs& args) override;
  void channels_first(const ChannelsFirstArgs& args) override;
  void frames_to_rgb8(const FramesToRgb8Args& args) override;
  void guided_euler(const GuidedEulerArgs& args) override;
  void renoise_frames(const RenoiseFramesArgs& args) override;
  void guided_noise(const GuidedNoiseArgs& args) override;
  void weighted_sum(const WeightedSumArgs& args) override;
  void learned_variance_noise(const LearnedVarianceNoiseArgs& args) override;
  void relative_l1(const RelativeL1Args& args) override;
  void update_differences(const UpdateDifferencesArgs& args) override;
  void low_pass(const LowPassArgs& args) override;
  void cluster_tokens(const ClusterTokensArgs& args) override;
  void raise_representatives(const RaiseRepresentativesArgs& args) override;
  void blend_clusters(const BlendClustersArgs& args) override;

 private:
  CpuContext context_;
  BackendInfo info_;
};

}  // namespace engine::cpu
