// The CPU's attention against the plain one, for odd sizes, and the promise that threads and other
// rows change no bit.
#include "backend/cpu/attention.h"

#include <gtest/gtest.h>

#include "backend/cpu/product_test_support.h"
#include "backend/plain/operations.h"

namespace engine::cpu {
namespace {

double tolerance(DType dtype) {
  return dtype == DType::kBF16 ? 8e-3 : 5e-6;
}

struct SelfCase {
  int64_t batch, frames, tokens, heads, width;
  AttentionAxis axis;
  bool norm, rope;
};

struct SelfInputs {
  Tensor qkv, q_norm, k_norm, cosines, sines;

  SelfInputs(const SelfCase& one, DType dtype)
      : qkv(random_tensor({one.batch, one.frames, one.tokens, 3, one.heads, one.width}, dtype, 1)) {
    if (one.norm) {
      q_norm = random_tensor({one.width}, DType::kF32, 2);
      k_norm = random_tensor({one.width}, DType::kF32, 3);
    }
    if (one.rope) {
      const int64_t positions = one.axis == AttentionAxis::kTemporal ? one.frames : one.tokens;
      cosines = random_tensor({positions, one.width / 2}, DType::kF32, 4);
      sines = random_tensor({positions, one.width / 2}, DType::kF32, 5);
    }
  }

  SelfAttentionArgs args(const SelfCase& one, TensorView output) const {
    return {.qkv = qkv,
            .axis = one.axis,
            .q_norm = q_norm,
            .k_norm = k_norm,
            .rope_cos = cosines,
            .rope_sin = sines,
            .scale = 1.0f / std::sqrt(float(one.width)),
            .output = output};
  }

  Tensor output() const {
    return Tensor({qkv.dim(0), qkv.dim(1), qkv.dim(2), qkv.dim(4) * qkv.dim(5)}, qkv.dtype());
  }
};

TEST(CpuSelfAttention, AgreesWithThePlainOneOnBothAxes) {
  constexpr auto kSpatial = AttentionAxis::kSpatial, kTemporal = AttentionAxis::kTemporal;
  const std::vector<SelfCase> cases{
      {1, 1, 1, 1, 1, kSpatial, false, false},    {2, 3, 7, 2, 72, kSpatial, true, false},
      {1, 2, 150, 2, 72, kSpatial, true, true},   {2, 5, 9, 3, 72, kTemporal, true, true},
      {1, 30, 4, 2, 16, kTemporal, true, true},   {1, 32, 19, 2, 72, kTemporal, true, true},
      {1, 1, 33, 2, 20, kTemporal, true, false},  {1, 7, 1, 2, 16, kTemporal, true, true},
      {1, 1, 131, 1, 40, kSpatial, false, false}, {1, 70, 3, 1, 10, kTemporal, false, true},
      {1, 1, 65, 1, 256, kSpatial, true, false}};
  for (const CpuContext& context : contexts(2)) {
    for (const SelfCase& one : cases) {
      for (const DType dtype : {DType::kF32, DType::kBF16}) {
        const SelfInputs inputs(one, dtype);
        Tensor output = inputs.output(), expected = inputs.output();
        self_attention(context, inputs.args(one, output));
        plain::self_attention(inputs.args(one, expected));
        EXPECT_LT(largest_error(output, expected), tolerance(dtype))
            << describe(context) << " qkv " << inputs.qkv.shape().to_string() << " "
            << dtype_name(dtype);
      }
    }
  }
}

TEST(CpuSelfAttention, KeepsBitsOnAnyThreadsAndOtherClips) {
  for (const SelfCase& pair : {SelfCase{2, 3, 333, 2, 72, AttentionAxis::kSpatial, true, false},
                               SelfCase{2, 5, 45, 2, 72, AttentionAxis::kTemporal, true, true}}) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      const SelfInputs inputs(pair, dtype);
      for (const CpuContext& one : contexts(1)) {
        Tensor whole = inputs.output();
        self_attention(one, inputs.args(pair, whole));
        for (const int threads : {2, 5}) {
          CpuContext context = one;
          context.threads = threads;
          Tensor again = inputs.output();
          self_attention(context, inputs.args(pair, again));
          EXPECT_TRUE(same_bits(again, whole)) << describe(context);
          SelfAttentionArgs second = inputs.args(pair, again.view().rows(1, 1));
          second.qkv = ConstTensorView(inputs.qkv).rows(1, 1);
          self_attention(context, second);
          EXPECT_TRUE(same_bits(again, whole)) << describe(context) << ", one clip alone";
        }
      }
    }
  }
}

TEST(CpuSelfAttention, SurvivesScoresThatWouldOverflowAnExponential) {
  const SelfCase one{1, 1, 100, 1, 16, AttentionAxis::kSpatial, false, false};
  for (const CpuContext& context : contexts(1)) {
    SelfInputs inputs(one, DType::kF32);
    for (int64_t i = 0; i < inputs.qkv.elements(); ++i) inputs.qkv.f32()[i] *= 30.0f;
    Tensor output = inputs.output(), expected = inputs.output();
    self_attention(context, inputs.args(one, output));
    plain::self_attention(inputs.args(one, expected));
    EXPECT_LT(largest_error(output, expected), 1e-3) << describe(context);
  }
}

struct CrossInputs {
  Tensor query, key_value;
  std::vector<int32_t> offsets;
  int64_t tokens;

  CrossInputs(std::vector<int32_t> text_offsets, int64_t queries, int64_t heads, int64_t width,
              DType dtype)
      : query(random_tensor({int64_t(text_offsets.size()) - 1, queries, heads, width}, dtype, 1,
                            2.0f)),
        key_value(random_tensor({text_offsets.back(), 2, heads, width}, dtype, 2)),
        offsets(std::move(text_offsets)),
        tokens(queries) {}

  CrossAttentionArgs args(TensorView output, TensorView half_entropy) const {
    return {.query = query,
            .key_value = key_value,
            .text_offsets = offsets,
            .scale = 1.0f / std::sqrt(float(query.dim(3))),
            .output = output,
            .half_entropy = half_entropy,
            .indices = {}};
  }
  Tensor output() const {
    return Tensor({query.dim(0), query.dim(1), query.dim(2) * query.dim(3)}, query.dtype());
  }
  Tensor entropy() const { return Tensor({query.dim(0), tokens}, DType::kF32); }
};

TEST(CpuCrossAttention, AgreesWithThePlainOneAndItsEntropy) {
  for (const CpuContext& context : contexts(2)) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      for (const auto& offsets : std::vector<std::vector<int32_t>>{
               {0, 1}, {0, 17, 34}, {0, 300, 305}, {0, 0, 9}, {0, 16, 48}}) {
        for (const int64_t queries : {1, 53}) {
          const CrossInputs inputs(offsets, queries, 3, 72, dtype);
          Tensor output = inputs.output(), expected = inputs.output();
          Tensor entropy = inputs.entropy(), expected_entropy = inputs.entropy();
          cross_attention(context, inputs.args(output, entropy));
          plain::cross_attention(inputs.args(expected, expected_entropy));
          EXPECT_LT(largest_error(output, expected), tolerance(dtype)) << describe(context);
          EXPECT_LT(largest_error(entropy, expected_entropy), 2e-7)
              << describe(context) << " text tokens " << offsets.back();
          Tensor without = inputs.output();
          cross_attention(context, inputs.args(without, {}));
          EXPECT_TRUE(same_bits(without, output)) << describe(context) << ", no entropy";
        }
      }
    }
  }
}

TEST(CpuCrossAttention, OfChosenTokensRewritesTheirEntropiesAlone) {
  for (const CpuContext& context : contexts(2)) {
    CrossInputs inputs({0, 20, 30}, 3, 2, 24, DType::kF32);
    inputs.tokens = 6;
    Tensor indices({2, 3}, DType::kI32);
    const std::array<int32_t, 6> chosen{0, 2, 5, 1, 3, 4};
    std::copy(chosen.begin(), chosen.end(), indices.view().i32());
    Tensor output = inputs.output(), entropy = inputs.entropy(), expected = inputs.entropy();
    std::fill_n(entropy.f32(), entropy.elements(), -7.0f);
    std::fill_n(expected.f32(), expected.elements(), -7.0f);
    CrossAttentionArgs args = inputs.args(output, entropy);
    args.indices = indices;
    cross_attention(context, args);
    args.half_entropy = expected;
    plain::cross_attention(args);
    EXPECT_LT(largest_error(entropy, expected), 2e-7) << describe(context);
  }
}

TEST(CpuCrossAttention, KeepsBitsOnAnyThreadsAndChoiceOfQueries) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const CrossInputs inputs({0, 77}, 203, 2, 72, dtype);
    for (const CpuContext& one : contexts(1)) {
      Tensor whole = inputs.output(), entropy = inputs.entropy();
      cross_attention(one, inputs.args(whole, entropy));
      for (const auto& [threads, first] :
           std::vector<std::array<int, 2>>{{2, 0}, {2, 5}, {5, 0}, {5, 202}}) {
        CpuContext context = one;
        context.threads = threads;
        const int64_t count = 203 - first;
        CrossAttentionArgs args = inputs.args({}, {});
        args.query = ConstTensorView(inputs.query).reshaped({203, 1, 2, 72}).rows(first, count);
        args.query = args.query.reshaped({1, count, 2, 72});
        Tensor output({1, count, 144}, dtype), some({1, count}, DType::kF32);
        args.output = output;
        args.half_entropy = some;
        cross_attention(context, args);
        const ConstTensorView rows = ConstTensorView(whole).reshaped({203, 144});
        EXPECT_TRUE(same_bits(output, rows.rows(first, count))) << describe(context);
        const ConstTensorView same = ConstTensorView(entropy).reshaped({203}).rows(first, count);
        EXPECT_TRUE(same_bits(some, same)) << describe(context);
      }
    }
  }
}

TEST(CpuBiasedAttention, AgreesWithThePlainOneWithAndWithoutBiasAndMask) {
  for (const CpuContext& context : contexts(2)) {
    for (const auto& [batch, length, heads, width] : std::vector<std::array<int64_t, 4>>{
             {1, 1, 1, 1}, {2, 37, 3, 64}, {1, 200, 1, 512}, {2, 66, 2, 7}}) {
      const Shape shape{batch, length, heads, width};
      const Tensor query = random_tensor(shape, DType::kF32, 1),
                   key = random_tensor(shape, DType::kF32, 2);
      const Tensor value = random_tensor(shape, DType::kF32, 3);
      const Tensor bias = random_tensor({heads, length, length}, DType::kF32, 4);
      Tensor mask({batch, length}, DType::kU8);
      // The last row masks the first tile of keys, or everything.
      for (int64_t i = 0; i < mask.elements(); ++i) {
        mask.view().u8()[i] = i / length == batch - 1 ? i % length > 64 : i % 3 != 1;
      }
      for (const bool full : {false, true}) {
        Tensor output({batch, length, heads * width}, DType::kF32);
        Tensor expected({batch, length, heads * width}, DType::kF32);
        BiasedAttentionArgs args{.query = query,
                                 .key = key,
                                 .value = value,
                                 .bias = full ? ConstTensorView(bias) : ConstTensorView(),
                                 .key_mask = full ? ConstTensorView(mask) : ConstTensorView(),
                                 .scale = 1.0f / std::sqrt(float(width)),
                                 .output = output};
        biased_attention(context, args);
        args.output = expected;
        plain::biased_attention(args);
        EXPECT_LT(largest_error(output, expected), 2e-6)
            << describe(context) << " " << shape.to_string() << (full ? " bias and mask" : "");
      }
    }
  }
}

}  // namespace
}  // namespace engine::cpu
