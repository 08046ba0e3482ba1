// The plain backend: host memory, and the loops of operations.h.
#include <cstring>

#include "backend/plain/operations.h"
#include "backend/shapes.h"

namespace engine {

namespace {

class PlainBackend final : public Backend {
 public:
  PlainBackend() {
    info_.kind = "plain";
    info_.device_name = "plain loops";
  }

  const BackendInfo& info() const override { return info_; }
  Tensor allocate(Shape shape, DType dtype) override { return Tensor(shape, dtype); }
  void upload(ConstTensorView host, TensorView device) override { copy(host, device); }
  void download(ConstTensorView device, TensorView host) override { copy(device, host); }
  uint64_t free_memory_bytes() const override { return UINT64_MAX; }
  void synchronize() override {}

  std::unique_ptr<LinearWeights> pack_linear(ConstTensorView weight, ConstTensorView bias,
                                             DType compute) override {
    return plain::pack_linear(weight, bias, compute);
  }
  std::unique_ptr<ConvWeights> pack_conv(ConstTensorView weight, ConstTensorView bias,
                                         ConvGeometry geometry, DType compute) override {
    return plain::pack_conv(weight, bias, geometry, compute);
  }

  void linear(const LinearArgs& args) override { plain::linear(args); }
  void linear_residual(const LinearResidualArgs& args) override { plain::linear_residual(args); }
  void linear_scatter(const LinearScatterArgs& args) override { plain::linear_scatter(args); }
  void layer_norm_modulate(const LayerNormModulateArgs& args) override {
    plain::layer_norm_modulate(args);
  }
  void rms_norm(const RmsNormArgs& args) override { plain::rms_norm(args); }
  void group_norm(const GroupNormArgs& args) override { plain::group_norm(args); }
  void self_attention(const SelfAttentionArgs& args) override { plain::self_attention(args); }
  void cross_attention(const CrossAttentionArgs& args) override { plain::cross_attention(args); }
  void biased_attention(const BiasedAttentionArgs& args) override { plain::biased_attention(args); }
  void residual_add(const ResidualAddArgs& args) override { plain::residual_add(args); }
  void token_scores(const TokenScoresArgs& args) override { plain::token_scores(args); }
  void value_scores(const ValueScoresArgs& args) override { plain::value_scores(args); }
  void spread_scores(const SpreadScoresArgs& args) override { plain::spread_scores(args); }
  void select_tokens(const SelectTokensArgs& args) override { plain::select_tokens(args); }
  void gather_rows(const GatherRowsArgs& args) override { plain::gather_rows(args); }
  void scatter_rows(const ScatterRowsArgs& args) override { plain::scatter_rows(args); }
  void patchify(const PatchifyArgs& args) override { plain::patchify(args); }
  void unpatchify(const UnpatchifyArgs& args) override { plain::unpatchify(args); }
  void timestep_embedding(const TimestepEmbeddingArgs& args) override {
    plain::timestep_embedding(args);
  }
  void token_embedding(const TokenEmbeddingArgs& args) override { plain::token_embedding(args); }
  void add_rows(const AddRowsArgs& args) override { plain::add_rows(args); }
  void activate(const ActivateArgs& args) override { plain::activate(args); }
  void gated_gelu(const GatedGeluArgs& args) override { plain::gated_gelu(args); }
  void add(const AddArgs& args) override { plain::add(args); }
  void convert(const ConvertArgs& args) override { plain::convert(args); }
  void conv(const ConvArgs& args) override { plain::conv(args); }
  void channels_to_time(const ChannelsToTimeArgs& args) override { plain::channels_to_time(args); }
  void channels_last(const ChannelsLastArgs& args) override { plain::channels_last(args); }
  void channels_first(const ChannelsFirstArgs& args) override { plain::channels_first(args); }
  void frames_to_rgb8(const FramesToRgb8Args& args) override { plain::frames_to_rgb8(args); }
  void guided_euler(const GuidedEulerArgs& args) override { plain::guided_euler(args); }
  void renoise_frames(const RenoiseFramesArgs& args) override { plain::renoise_frames(args); }
  void guided_noise(const GuidedNoiseArgs& args) override { plain::guided_noise(args); }
  void weighted_sum(const WeightedSumArgs& args) override { plain::weighted_sum(args); }
  void learned_variance_noise(const LearnedVarianceNoiseArgs& args) override {
    plain::learned_variance_noise(args);
  }
  void relative_l1(const RelativeL1Args& args) override { plain::relative_l1(args); }
  void update_differences(const UpdateDifferencesArgs& args) override {
    plain::update_differences(args);
  }
  void low_pass(const LowPassArgs& args) override { plain::low_pass(args); }
  void cluster_tokens(const ClusterTokensArgs& args) override { plain::cluster_tokens(args); }
  void raise_representatives(const RaiseRepresentativesArgs& args) override {
    plain::raise_representatives(args);
  }
  void blend_clusters(const BlendClustersArgs& args) override { plain::blend_clusters(args); }

 private:
  static void copy(ConstTensorView source, TensorView destination) {
    check_copy(source, destination);
    if (source.bytes() > 0) std::memcpy(destination.data(), source.data(), source.bytes());
  }

  BackendInfo info_;
};

}  // namespace

std::unique_ptr<Backend> make_plain_backend() {
  return std::make_unique<PlainBackend>();
}

}  // namespace engine
