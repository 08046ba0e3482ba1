// The CPU's convolutions against the plain ones; their bits depend neither on threads nor on how
// many frames come in one call.
#include "backend/cpu/conv.h"

#include <gtest/gtest.h>

#include "backend/cpu/norm.h"
#include "backend/cpu/product_test_support.h"
#include "backend/plain/operations.h"

namespace engine::cpu {
namespace {

struct Case {
  Shape input;   // [F, H, W, in]
  Shape weight;  // [out, in, (kt,) kh, kw]
  ConvGeometry geometry;
};

const ConvGeometry kSame{.stride = {1, 1, 1}, .pad_before = {0, 1, 1}, .pad_after = {0, 1, 1}};
const ConvGeometry kCausal{.stride = {1, 1, 1}, .pad_before = {2, 1, 1}, .pad_after = {0, 1, 1}};
const ConvGeometry kDoubled{
    .stride = {1, 1, 1}, .pad_before = {0, 1, 1}, .pad_after = {0, 1, 1}, .upsample = true};

std::vector<Case> cases() {
  return {
      {{1, 1, 1, 1}, {1, 1, 1, 1}, {}},
      {{2, 5, 7, 3}, {16, 3, 3, 3}, kSame},
      {{1, 9, 4, 24}, {3, 24, 3, 3}, kSame},
      {{2, 6, 6, 40}, {70, 40, 1, 1}, {}},
      {{5, 6, 7, 4}, {24, 4, 3, 3, 3}, kCausal},
      {{4, 5, 3, 17}, {33, 17, 3, 3, 3}, kCausal},
      // A causal stride of 2 in time pads 1 in front; the 2D encoder pads right and below only.
      {{6, 5, 5, 8}, {8, 8, 3, 3, 3}, {{2, 2, 2}, {1, 1, 1}, {0, 1, 1}}},
      {{1, 8, 7, 8}, {8, 8, 3, 3}, {{1, 2, 2}, {0, 0, 0}, {0, 1, 1}}},
      {{1, 4, 4, 600}, {20, 600, 3, 3}, kSame},
      // In tiles: odd sizes, one pixel, columns past the last panel, taps of time, no padding, and
      // more than a box.
      {{2, 5, 7, 33}, {70, 33, 3, 3}, kSame},
      {{1, 1, 1, 40}, {32, 40, 1, 3, 3}, kSame},
      {{4, 5, 3, 36}, {48, 36, 3, 3, 3}, kCausal},
      {{1, 6, 7, 32}, {32, 32, 3, 3}, {}},
      {{1, 15, 67, 64}, {64, 64, 3, 3}, kSame},
      {{5, 6, 4, 32}, {32, 32, 3, 3, 3}, {{2, 1, 1}, {1, 1, 1}, {0, 1, 1}}},
      {{1, 1, 1, 3}, {4, 3, 3, 3}, kDoubled},
      {{2, 5, 7, 6}, {70, 6, 1, 3, 3}, kDoubled},
      {{2, 6, 1, 40}, {3, 40, 3, 3}, kDoubled},
  };
}

Tensor output_of(const ConvWeights& weights, const Tensor& input) {
  const auto size = weights.output_size(input.dim(0), input.dim(1), input.dim(2));
  return Tensor({size[0], size[1], size[2], weights.out()}, input.dtype());
}

// The output has the dtype of the input.
Tensor run(const CpuContext& context, const ConvWeights& weights, const Tensor& input,
           ConstTensorView residual) {
  Tensor output = output_of(weights, input);
  conv(context, {&weights, input, residual, output});
  return output;
}

void expect_agreement(const CpuContext& context, const Case& one, DType dtype, bool full) {
  const float spread = 1.0f / std::sqrt(float(one.weight.elements() / one.weight[0]));
  const Tensor weight = random_tensor(one.weight, DType::kF32, 1, spread);
  const Tensor bias = random_tensor({one.weight[0]}, DType::kF32, 2);
  const Tensor input = random_tensor(one.input, dtype, 3);
  const ConstTensorView used_bias = full ? ConstTensorView(bias) : ConstTensorView();
  const auto expected_weights = plain::pack_conv(weight, used_bias, one.geometry, dtype);
  Tensor expected = output_of(*expected_weights, input);
  const Tensor residual = random_tensor(expected.shape(), dtype, 4);
  const ConstTensorView used_residual = full ? ConstTensorView(residual) : ConstTensorView();
  plain::conv({expected_weights.get(), input, used_residual, expected});
  const auto weights = pack_conv(context, weight, used_bias, one.geometry, dtype);
  // In bf16 both round the same sum, which may lie on either side of a rounding boundary; and under
  // a doubled picture one rounds weights, the other sums of them. In tiles weights and pixels are
  // rounded at their points, and what either adds to independent outputs is 25/9 of what rounding
  // the weights as they are does.
  const bool tiled = in_tiles(weights->in(), weights->out(), weights->kernel(), one.geometry);
  const double rounding = tiled ? 0x1p-5 : one.geometry.upsample ? 0x1p-6 : 0x1p-7;
  const double bound = dtype == DType::kBF16 ? rounding : 5e-6;
  EXPECT_LT(largest_error(run(context, *weights, input, used_residual), expected), bound)
      << describe(context) << " " << dtype_name(dtype) << " input " << one.input.to_string()
      << " weight " << one.weight.to_string();
}

TEST(CpuConv, AgreesWithThePlainOneWithAndWithoutBiasAndResidual) {
  for (const CpuContext& context : contexts(2)) {
    for (const Case& one : cases()) {
      for (const DType dtype : {DType::kF32, DType::kBF16}) {
        for (const bool full : {false, true}) expect_agreement(context, one, dtype, full);
      }
    }
  }
}

TEST(CpuConv, AddsAResidualThatIsTheOutputItself) {
  for (const CpuContext& context : contexts(2)) {
    for (const int64_t channels : {20, 36}) {
      const Tensor input = random_tensor({2, 9, 11, channels}, DType::kF32, 1);
      const Tensor weight = random_tensor({70, channels, 3, 3}, DType::kF32, 2, 0.1f);
      const auto weights = pack_conv(context, weight, {}, kSame, DType::kF32);
      const Tensor residual = random_tensor({2, 9, 11, 70}, DType::kF32, 3);
      const Tensor apart = run(context, *weights, input, residual);
      Tensor in_place = to_f32(residual);
      conv(context, {weights.get(), input, in_place, in_place});
      EXPECT_TRUE(same_bits(in_place, apart)) << describe(context);
    }
  }
}

// 24 channels go pixel by pixel, 40 in tiles.
void expect_same_bits(const ConvGeometry& geometry, DType dtype, int64_t channels) {
  const Tensor weight = random_tensor({80, channels, 3, 3}, DType::kF32, 1, 0.1f);
  const Tensor input = random_tensor({3, 20, 31, channels}, dtype, 2);
  Tensor frame({1, 20, 31, channels}, dtype);
  const ConstTensorView second = ConstTensorView(input).rows(1, 1);
  std::memcpy(frame.view().data(), second.data(), second.bytes());
  for (const CpuContext& one : contexts(1)) {
    const auto weights = pack_conv(one, weight, {}, geometry, dtype);
    const Tensor whole = run(one, *weights, input, {});
    for (const int threads : {2, 5}) {
      CpuContext context = one;
      context.threads = threads;
      EXPECT_TRUE(same_bits(run(context, *weights, input, {}), whole)) << describe(context);
      EXPECT_TRUE(same_bits(run(context, *weights, frame, {}), ConstTensorView(whole).rows(1, 1)))
          << describe(context);
    }
  }
}

TEST(CpuConv, KeepsBitsOnAnyThreadsAndNumberOfFrames) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const ConvGeometry& geometry : {kSame, kDoubled}) expect_same_bits(geometry, dtype, 24);
    expect_same_bits(kSame, dtype, 40);
  }
}

struct NormedCase {
  Shape input;   // [F, H, W, in]
  Shape weight;  // [out, in, (kt,) kh, kw]
  ConvGeometry geometry;
  int64_t groups;
  int64_t frames_per_norm;
};

void expect_bits_of_both(const CpuContext& context, const NormedCase& one, DType dtype) {
  const int64_t in = one.weight[1];
  const Tensor input = random_tensor(one.input, dtype, 1, 3.0f);
  const Tensor norm_weight = random_tensor({in}, DType::kF32, 2);
  const Tensor norm_bias = random_tensor({in}, DType::kF32, 3);
  const auto weights =
      pack_conv(context, random_tensor(one.weight, DType::kF32, 4, 0.1f), {}, one.geometry, dtype);
  const Tensor normed(one.input, dtype);
  group_norm(context, {.input = input,
                       .weight = norm_weight,
                       .bias = norm_bias,
                       .groups = one.groups,
                       .frames_per_norm = one.frames_per_norm,
                       .silu = true,
                       .output = normed});
  const Tensor expected = run(context, *weights, normed, {});
  const int64_t line_bytes = static_cast<int64_t>(input.bytes()) / one.input[1];
  for (int64_t room = weights->kernel()[1]; room <= one.input[1] + 1; ++room) {
    const Tensor lines({room * line_bytes}, DType::kU8);
    const Tensor found = output_of(*weights, input);
    conv(context, {.weights = weights.get(),
                   .input = input,
                   .residual = {},
                   .output = found,
                   .norm = {.weight = norm_weight,
                            .bias = norm_bias,
                            .groups = one.groups,
                            .frames_per_norm = one.frames_per_norm,
                            .lines = lines}});
    EXPECT_TRUE(same_bits(found, expected))
        << describe(context) << " " << dtype_name(dtype) << " " << room << " lines";
  }
}

TEST(CpuConv, NormsItsInputToTheBitsOfGroupNormHoweverManyLinesHaveRoom) {
  for (const CpuContext& context : contexts(2)) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      expect_bits_of_both(context, {{2, 7, 9, 12}, {20, 12, 3, 3}, kSame, 4, 1}, dtype);
      expect_bits_of_both(context, {{4, 6, 5, 8}, {9, 8, 3, 3, 3}, kCausal, 2, 4}, dtype);
      expect_bits_of_both(context, {{1, 7, 9, 36}, {40, 36, 3, 3}, kSame, 4, 1}, dtype);
      expect_bits_of_both(context, {{2, 8, 3, 32}, {33, 32, 3, 3, 3}, kCausal, 2, 2}, dtype);
      expect_bits_of_both(context, {{1, 5, 70, 6}, {3, 6, 1, 1}, {}, 1, 1}, dtype);
      expect_bits_of_both(
          context, {{1, 8, 7, 8}, {8, 8, 3, 3}, {{1, 2, 2}, {0, 0, 0}, {0, 1, 1}}, 8, 1}, dtype);
    }
  }
}

}  // namespace
}  // namespace engine::cpu
