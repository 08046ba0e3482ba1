// A wrong argument is refused by name, before anything is read or written. The plain backend stands
// for all: they share these checks.
#include "backend/shapes.h"

#include <gtest/gtest.h>

#include "engine/error.h"

namespace engine {

namespace {

template <typename Args>
std::string refusal(const Args& args) {
  try {
    check_args(args);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInternal);
    return error.what();
  }
  return "";
}

ResidualAddArgs residual_args(const Tensor& residual, const Tensor& feature) {
  ResidualAddArgs args;
  args.residual = residual;
  args.terms[0].feature = feature;
  args.count = 1;
  return args;
}

TEST(Shapes, AFeatureOfAnotherShapeIsRefusedWithBothShapes) {
  const Tensor residual({2, 3, 4}, DType::kF32), feature({2, 4, 3}, DType::kF32);
  EXPECT_EQ(refusal(residual_args(residual, feature)),
            "residual_add: feature has shape [2, 4, 3], expected [2, 3, 4]");
  EXPECT_EQ(refusal(residual_args(residual, residual)), "");
}

TEST(Shapes, AMissingTensorIsRefusedByName) {
  RmsNormArgs args;
  const Tensor rows({2, 4}, DType::kF32);
  args.input = rows;
  args.output = rows;
  args.weight = ConstTensorView(nullptr, DType::kF32, {4});
  EXPECT_EQ(refusal(args), "rms_norm: weight is missing");
}

TEST(Shapes, AWrongDtypeIsRefusedByName) {
  const Tensor latent({1, 4, 2, 2, 2}, DType::kF32), mask({1, 2}, DType::kI32);
  EXPECT_EQ(refusal(RenoiseFramesArgs{.latent = latent, .noise = latent, .frame = mask}),
            "renoise_frames: frame has the wrong dtype int32");
}

TEST(Shapes, MoreTokensThanThereAreCannotBeSelected) {
  const Tensor scores({1, 4}, DType::kF32), counters({1, 4}, DType::kI32);
  const Tensor indices({1, 5}, DType::kI32);
  EXPECT_EQ(refusal(SelectTokensArgs{scores, indices, counters}),
            "select_tokens: more tokens asked for than there are");
  EXPECT_EQ(refusal(SelectTokensArgs{scores, {}, counters}), "");
}

TEST(Shapes, TextOffsetsMustEndAtTheLastTextToken) {
  const Tensor query({2, 3, 1, 4}, DType::kF32), text({5, 2, 1, 4}, DType::kF32);
  const Tensor output({2, 3, 4}, DType::kF32);
  CrossAttentionArgs args;
  args.query = query;
  args.key_value = text;
  args.output = output;
  for (const std::array<int32_t, 3> offsets : {std::array<int32_t, 3>{0, 2, 4}, {0, 6, 5}}) {
    args.text_offsets = offsets;
    EXPECT_NE(refusal(args), "");
  }
  const std::array<int32_t, 3> right{0, 0, 5};
  args.text_offsets = right;
  EXPECT_EQ(refusal(args), "");
}

TEST(Shapes, FramesMustDivideTheTokens) {
  const Tensor residual({1, 7, 4}, DType::kF32), noisy({1, 3}, DType::kU8);
  ResidualAddArgs args = residual_args(residual, residual);
  args.frames = {noisy, 2};
  EXPECT_EQ(refusal(args), "residual_add: tokens_per_frame does not divide the number of tokens");
}

TEST(Shapes, ALowPassKeepsNoFrequencyOfHalfASideOrMore) {
  const Tensor input({2, 5, 9}, DType::kF32), output({2, 5, 9}, DType::kF32);
  EXPECT_EQ(refusal(LowPassArgs{.input = input, .radius = 2, .output = output}), "");
  for (const int64_t radius : {-1, 3}) {
    EXPECT_EQ(refusal(LowPassArgs{.input = input, .radius = radius, .output = output}),
              "low_pass: the radius must be from 0 to less than half of height and width");
  }
  EXPECT_EQ(refusal(LowPassArgs{.input = input, .radius = 0, .output = input}),
            "low_pass: the output must not be the input");
}

TEST(Shapes, TokensMakeNoMoreClustersThanThereAreOfThem) {
  const Tensor input({4, 3, 5}, DType::kF32), clusters({4, 3}, DType::kI32);
  const auto refused = [&](int64_t count, int64_t groups) {
    const Tensor centroids({4, count, 5}, DType::kF32);
    return refusal(ClusterTokensArgs{
        .input = input, .centroids = centroids, .clusters = clusters, .groups = groups});
  };
  EXPECT_EQ(refused(3, 2), "");
  EXPECT_EQ(refused(4, 2), "cluster_tokens: one cluster to as many as there are tokens");
  EXPECT_EQ(refused(3, 3), "cluster_tokens: every group has as many rows");
}

TEST(Shapes, ACopyBetweenDtypesIsRefused) {
  const Tensor whole({4}, DType::kF32), half({4}, DType::kBF16), longer({5}, DType::kF32);
  EXPECT_THROW(check_copy(whole, half), Error);
  EXPECT_THROW(check_copy(whole, longer), Error);
  EXPECT_NO_THROW(check_copy(whole, whole));
}

class Sizes final : public ConvWeights {
 public:
  Sizes(std::array<int64_t, 3> kernel, ConvGeometry geometry)
      : ConvWeights(1, 1, kernel, geometry, DType::kF32) {}
};

TEST(ConvWeights, GiveTheSizeOfTheirOutput) {
  const ConvGeometry causal{.stride = {2, 1, 1}, .pad_before = {3, 1, 1}, .pad_after = {0, 1, 1}};
  const std::array<int64_t, 3> expected{9, 8, 6};
  EXPECT_EQ(Sizes({3, 3, 3}, causal).output_size(16, 8, 6), expected);
  const std::array<int64_t, 3> none{0, 1, 0};
  EXPECT_EQ(Sizes({3, 3, 3}, ConvGeometry{}).output_size(2, 3, 1), none);
}

TEST(PlainBackend, RefusesATokenOutsideTheVocabulary) {
  const auto plain = make_plain_backend();
  const Tensor table({3, 2}, DType::kF32), output({1, 2}, DType::kF32);
  const Tensor ids({1}, DType::kI32);
  for (const int32_t id : {-1, 3}) {
    ids.view().i32()[0] = id;
    EXPECT_THROW(plain->token_embedding({ids, table, output}), Error);
  }
}

}  // namespace

}  // namespace engine
