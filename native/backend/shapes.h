// What every backend checks of an operation's arguments on entry: ranks, sizes, dtypes and that
// nothing needed is missing. A breach is our own mistake: Error(kInternal) that names operation,
// argument, the shape found and the one expected.
#pragma once

#include "backend/backend.h"

namespace engine {

void check_args(const LinearArgs& args);
void check_args(const LinearResidualArgs& args);
void check_args(const LinearScatterArgs& args);
void check_args(const LayerNormModulateArgs& args);
void check_args(const RmsNormArgs& args);
void check_args(const GroupNormArgs& args);
void check_args(const SelfAttentionArgs& args);
void check_args(const CrossAttentionArgs& args);
void check_args(const BiasedAttentionArgs& args);
void check_args(const ResidualAddArgs& args);
void check_args(const TokenScoresArgs& args);
void check_args(const ValueScoresArgs& args);
void check_args(const SpreadScoresArgs& args);
void check_args(const SelectTokensArgs& args);
void check_args(const GatherRowsArgs& args);
void check_args(const ScatterRowsArgs& args);
void check_args(const PatchifyArgs& args);
void check_args(const UnpatchifyArgs& args);
void check_args(const TimestepEmbeddingArgs& args);
void check_args(const TokenEmbeddingArgs& args);
void check_args(const AddRowsArgs& args);
void check_args(const ActivateArgs& args);
void check_args(const GatedGeluArgs& args);
void check_args(const AddArgs& args);
void check_args(const ConvertArgs& args);
void check_args(const ConvArgs& args);
void check_args(const ChannelsToTimeArgs& args);
void check_args(const ChannelsLastArgs& args);
void check_args(const ChannelsFirstArgs& args);
void check_args(const FramesToRgb8Args& args);
void check_args(const GuidedEulerArgs& args);
void check_args(const RenoiseFramesArgs& args);
void check_args(const GuidedNoiseArgs& args);
void check_args(const WeightedSumArgs& args);
void check_args(const LearnedVarianceNoiseArgs& args);
void check_args(const RelativeL1Args& args);
void check_args(const UpdateDifferencesArgs& args);
void check_args(const LowPassArgs& args);
void check_args(const ClusterTokensArgs& args);
void check_args(const RaiseRepresentativesArgs& args);
void check_args(const BlendClustersArgs& args);

// What pack_linear and pack_conv are given.
void check_linear_weights(ConstTensorView weight, ConstTensorView bias, DType compute);
void check_conv_weights(ConstTensorView weight, ConstTensorView bias, const ConvGeometry& geometry,
                        DType compute);
// A copy between host and device: same dtype and number of elements.
void check_copy(ConstTensorView source, TensorView destination);

}  // namespace engine
