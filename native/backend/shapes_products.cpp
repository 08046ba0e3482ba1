// Checks of linear layers, convolutions and attention.
#include <algorithm>

#include "backend/shape_rules.h"
#include "backend/shapes.h"

namespace engine {

namespace {

void check_rope(const ShapeRules& rules, const SelfAttentionArgs& args, int64_t positions,
                int64_t width) {
  rules.require(args.rope_cos.empty() == args.rope_sin.empty(), "rotation needs cosines and sines");
  if (args.rope_cos.empty()) return;
  rules.rank("rope_cos", args.rope_cos, 2);
  rules.require(width % 2 == 0, "rotation needs an even head width");
  rules.require(args.rope_cos.dim(0) >= positions, "the rotation tables have too few positions");
  const Shape table{args.rope_cos.dim(0), width / 2};
  rules.tensor("rope_cos", args.rope_cos, table, Types::kF32);
  rules.tensor("rope_sin", args.rope_sin, table, Types::kF32);
}

void check_norm(const ShapeRules& rules, const ConvArgs& args) {
  const ConvNorm& norm = args.norm;
  const int64_t in = args.weights->in(), frames = args.input.dim(0);
  const Shape line{frames, args.weights->kernel()[1], args.input.dim(2), in};
  const auto least = line.elements() * static_cast<int64_t>(dtype_bytes(args.input.dtype()));
  rules.require(!args.weights->geometry().upsample, "a doubled input has no norm");
  rules.tensor("norm weight", norm.weight, {in}, Types::kF32);
  rules.tensor("norm bias", norm.bias, {in}, Types::kF32);
  rules.require(norm.groups > 0 && in % norm.groups == 0, "the groups do not divide the channels");
  rules.require(norm.frames_per_norm > 0 && frames % norm.frames_per_norm == 0,
                "frames_per_norm does not divide the frames");
  rules.require(norm.lines.elements() >= least, "the normed lines under a kernel have no room");
}

}  // namespace

void check_linear_weights(ConstTensorView weight, ConstTensorView bias, DType compute) {
  const ShapeRules rules("pack_linear");
  rules.rank("weight", weight, 2);
  rules.require(weight.elements() > 0, "weight is empty");
  rules.require(dtype_is_float(weight.dtype()), "weight is no float tensor");
  rules.require(bias.empty() || dtype_is_float(bias.dtype()), "bias is no float tensor");
  rules.require(bias.empty() || bias.shape() == Shape{weight.dim(0)},
                "bias does not have one value per output");
  rules.require(compute == DType::kF32 || compute == DType::kBF16, "compute must be fp32 or bf16");
}

void check_conv_weights(ConstTensorView weight, ConstTensorView bias, const ConvGeometry& geometry,
                        DType compute) {
  const ShapeRules rules("pack_conv");
  rules.require(compute == DType::kF32 || compute == DType::kBF16, "compute must be fp32 or bf16");
  const int rank = weight.shape().rank();
  rules.require(rank == 4 || rank == 5, "weight must be [out, in, (kt,) kh, kw]");
  rules.tensor("weight", weight, weight.shape(), Types::kF32);
  rules.require(weight.elements() > 0, "weight is empty");
  rules.optional("bias", bias, {weight.dim(0)}, Types::kF32);
  for (size_t axis = 0; axis < 3; ++axis) {
    rules.require(geometry.stride[axis] > 0 && geometry.pad_before[axis] >= 0 &&
                      geometry.pad_after[axis] >= 0,
                  "strides must be positive and paddings not negative");
  }
  if (!geometry.upsample) return;
  const std::array<int64_t, 3> ones{1, 1, 1}, even{0, 1, 1};
  const bool flat = rank == 4 || weight.dim(2) == 1;
  rules.require(flat && weight.dim(rank - 2) == 3 && weight.dim(rank - 1) == 3 &&
                    geometry.stride == ones && geometry.pad_before == even &&
                    geometry.pad_after == even,
                "a doubled picture is convolved by 3 x 3 taps to its own size");
}

void check_args(const LinearArgs& args) {
  const ShapeRules rules("linear");
  rules.require(args.weights != nullptr, "weights are missing");
  rules.rank("input", args.input, 2);
  const Types compute = args.weights->compute() == DType::kBF16 ? Types::kBF16 : Types::kF32;
  rules.tensor("input", args.input, {args.input.dim(0), args.weights->in()}, compute);
  rules.tensor("output", args.output, {args.input.dim(0), args.weights->out()}, Types::kF32OrBF16);
}

void check_args(const ConvArgs& args) {
  const ShapeRules rules("conv");
  rules.require(args.weights != nullptr, "weights are missing");
  rules.rank("input", args.input, 4);
  const auto& in = args.input;
  const Types compute = args.weights->compute() == DType::kBF16 ? Types::kBF16 : Types::kF32;
  rules.tensor("input", in, {in.dim(0), in.dim(1), in.dim(2), args.weights->in()}, compute);
  const auto size = args.weights->output_size(in.dim(0), in.dim(1), in.dim(2));
  const Shape output{size[0], size[1], size[2], args.weights->out()};
  rules.tensor("output", args.output, output, Types::kF32OrBF16);
  rules.optional("residual", args.residual, output,
                 args.output.dtype() == DType::kBF16 ? Types::kBF16 : Types::kF32);
  if (args.norm.groups != 0) check_norm(rules, args);
}

void check_args(const SelfAttentionArgs& args) {
  const ShapeRules rules("self_attention");
  rules.rank("qkv", args.qkv, 6);
  const Shape shape = args.qkv.shape();
  const int64_t heads = shape[4], width = shape[5];
  rules.tensor("qkv", args.qkv, {shape[0], shape[1], shape[2], 3, heads, width}, Types::kF32OrBF16);
  rules.tensor("output", args.output, {shape[0], shape[1], shape[2], heads * width},
               Types::kF32OrBF16);
  rules.require(args.output.dtype() == args.qkv.dtype(), "output must have the dtype of qkv");
  rules.optional("q_norm", args.q_norm, {width}, Types::kF32);
  rules.optional("k_norm", args.k_norm, {width}, Types::kF32);
  check_rope(rules, args, args.axis == AttentionAxis::kTemporal ? shape[1] : shape[2], width);
  rules.optional("column_sums", args.column_sums, {shape[0], shape[1], shape[2]}, Types::kF32);
}

void check_args(const CrossAttentionArgs& args) {
  const ShapeRules rules("cross_attention");
  rules.rank("query", args.query, 4);
  rules.rank("key_value", args.key_value, 4);
  const Shape query = args.query.shape();
  const auto offsets = args.text_offsets;
  rules.tensor("query", args.query, query, Types::kF32OrBF16);
  rules.tensor("key_value", args.key_value, {args.key_value.dim(0), 2, query[2], query[3]},
               Types::kF32OrBF16);
  rules.tensor("output", args.output, {query[0], query[1], query[2] * query[3]}, Types::kF32OrBF16);
  rules.require(
      args.query.dtype() == args.key_value.dtype() && args.query.dtype() == args.output.dtype(),
      "query, key_value and output must have one dtype");
  rules.require(static_cast<int64_t>(offsets.size()) == query[0] + 1 && offsets.front() == 0 &&
                    offsets.back() == args.key_value.dim(0) &&
                    std::is_sorted(offsets.begin(), offsets.end()),
                "text_offsets must rise from 0 to the number of text tokens, one more than rows");
  if (args.half_entropy.empty()) return;
  rules.rank("half_entropy", args.half_entropy, 2);
  rules.tensor("half_entropy", args.half_entropy, {query[0], args.half_entropy.dim(1)},
               Types::kF32);
  if (args.indices.empty()) {
    rules.require(query[1] == args.half_entropy.dim(1) || query[1] == 0,
                  "without indices the query needs every token");
  } else {
    rules.tensor("indices", args.indices, {query[0], query[1]}, Types::kI32);
  }
}

void check_args(const BiasedAttentionArgs& args) {
  const ShapeRules rules("biased_attention");
  rules.rank("query", args.query, 4);
  const Shape shape = args.query.shape();
  const int64_t batch = shape[0], length = shape[1], heads = shape[2], width = shape[3];
  rules.tensor("query", args.query, shape, Types::kF32OrBF16);
  const Types dtype = args.query.dtype() == DType::kBF16 ? Types::kBF16 : Types::kF32;
  rules.tensor("key", args.key, shape, dtype);
  rules.tensor("value", args.value, shape, dtype);
  rules.optional("bias", args.bias, {heads, length, length}, Types::kF32);
  rules.optional("key_mask", args.key_mask, {batch, length}, Types::kU8);
  rules.tensor("output", args.output, {batch, length, heads * width}, dtype);
}

}  // namespace engine
