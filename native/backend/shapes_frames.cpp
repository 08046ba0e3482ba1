// Checks of the VAE's operations on frames.
#include "backend/shape_rules.h"
#include "backend/shapes.h"

namespace engine {

namespace {

// Of a tensor that is fp32 or bf16.
Types same_as(const ConstTensorView& tensor) {
  return tensor.dtype() == DType::kBF16 ? Types::kBF16 : Types::kF32;
}

}  // namespace

void check_args(const GroupNormArgs& args) {
  const ShapeRules rules("group_norm");
  rules.rank("input", args.input, 4);
  const int64_t channels = args.input.dim(3);
  rules.tensor("input", args.input, args.input.shape(), Types::kF32OrBF16);
  rules.tensor("weight", args.weight, {channels}, Types::kF32);
  rules.tensor("bias", args.bias, {channels}, Types::kF32);
  rules.tensor("output", args.output, args.input.shape(), same_as(args.input));
  rules.require(args.groups > 0 && channels % args.groups == 0,
                "the groups do not divide the channels");
  rules.require(args.frames_per_norm > 0 && args.input.dim(0) % args.frames_per_norm == 0,
                "frames_per_norm does not divide the frames");
}

void check_args(const ChannelsToTimeArgs& args) {
  const ShapeRules rules("channels_to_time");
  rules.rank("input", args.input, 4);
  const Shape in = args.input.shape();
  rules.require(in[3] % 2 == 0, "the number of channels must be even");
  rules.tensor("input", args.input, in, Types::kF32OrBF16);
  rules.tensor("output", args.output, {2 * in[0], in[1], in[2], in[3] / 2}, same_as(args.input));
}

void check_args(const ChannelsLastArgs& args) {
  const ShapeRules rules("channels_last");
  rules.rank("input", args.input, 4);
  const Shape in = args.input.shape();
  rules.tensor("input", args.input, in, Types::kF32);
  rules.tensor("output", args.output, {in[1], in[2], in[3], in[0]}, Types::kF32);
}

void check_args(const ChannelsFirstArgs& args) {
  const ShapeRules rules("channels_first");
  rules.rank("input", args.input, 4);
  const Shape in = args.input.shape();
  rules.tensor("input", args.input, in, Types::kF32);
  rules.tensor("output", args.output, {in[3], in[0], in[1], in[2]}, Types::kF32);
}

void check_args(const FramesToRgb8Args& args) {
  const ShapeRules rules("frames_to_rgb8");
  rules.rank("input", args.input, 4);
  const Shape in = args.input.shape();
  rules.tensor("input", args.input, {in[0], in[1], in[2], 3}, Types::kF32);
  rules.tensor("output", args.output, {in[0], in[1], in[2], 3}, Types::kU8);
}

}  // namespace engine
