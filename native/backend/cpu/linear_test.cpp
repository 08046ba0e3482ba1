// The CPU's linear layers against the plain ones, and the promise that a row's bits depend on that
// row alone.
#include "backend/cpu/linear.h"

#include <gtest/gtest.h>

#include "backend/cpu/product_test_support.h"
#include "backend/plain/operations.h"
#include "engine/error.h"

namespace engine::cpu {
namespace {

struct Layer {
  Tensor weight, bias;
  DType compute;

  Tensor run(const CpuContext& context, const Tensor& input, DType output_dtype,
             Activation activation) const {
    const auto packed = pack_linear(context, weight, bias, compute);
    Tensor output({input.dim(0), weight.dim(0)}, output_dtype);
    linear(context, {packed.get(), input, output, activation});
    return output;
  }

  Tensor run_plain(const Tensor& input, DType output_dtype, Activation activation) const {
    const auto packed = plain::pack_linear(weight, bias, compute);
    Tensor output({input.dim(0), weight.dim(0)}, output_dtype);
    plain::linear({packed.get(), input, output, activation});
    return output;
  }
};

Layer random_layer(int64_t in, int64_t out, DType compute) {
  return {.weight = random_tensor({out, in}, DType::kF32, 1, 1.0f / std::sqrt(float(in))),
          .bias = random_tensor({out}, DType::kF32, 2),
          .compute = compute};
}

TEST(CpuLinear, AgreesWithThePlainOneForOddSizesDtypesAndActivations) {
  const std::vector<std::array<int64_t, 3>> sizes{{1, 1, 1},    {5, 3, 2},      {7, 33, 65},
                                                  {64, 64, 64}, {23, 144, 432}, {3, 700, 17}};
  for (const CpuContext& context : contexts(2)) {
    for (const auto& [rows, in, out] : sizes) {
      for (const DType compute : {DType::kF32, DType::kBF16}) {
        const Layer layer = random_layer(in, out, compute);
        const Tensor input = random_tensor({rows, in}, compute, 3);
        for (const DType output : {DType::kF32, DType::kBF16}) {
          for (const auto activation :
               {Activation::kNone, Activation::kGeluTanh, Activation::kSilu}) {
            const double error = largest_error(layer.run(context, input, output, activation),
                                               layer.run_plain(input, output, activation));
            EXPECT_LT(error, output == DType::kBF16 ? 8e-3 : 2e-6)
                << describe(context) << " rows " << rows << " in " << in << " out " << out
                << " compute " << dtype_name(compute) << " output " << dtype_name(output)
                << " activation " << static_cast<int>(activation);
          }
        }
      }
    }
  }
}

TEST(CpuLinear, WorksWithoutBiasAndWithBf16Weights) {
  for (const CpuContext& context : contexts(2)) {
    const Layer layer{
        .weight = random_tensor({40, 24}, DType::kBF16, 1), .bias = {}, .compute = DType::kF32};
    const Tensor input = random_tensor({9, 24}, DType::kF32, 3);
    EXPECT_LT(largest_error(layer.run(context, input, DType::kF32, Activation::kNone),
                            layer.run_plain(input, DType::kF32, Activation::kNone)),
              1e-6)
        << describe(context);
  }
}

TEST(CpuLinear, OfNoRowsDoesNothing) {
  for (const CpuContext& context : contexts(1)) {
    const Layer layer = random_layer(8, 8, DType::kF32);
    const Tensor output =
        layer.run(context, Tensor({0, 8}, DType::kF32), DType::kF32, Activation::kNone);
    EXPECT_EQ(output.elements(), 0);
  }
}

TEST(CpuLinear, KeepsTheBitsOfARowOnAnyThreadsNeighboursAndPlace) {
  const std::vector<std::array<int64_t, 2>> sizes{{144, 432}, {576, 144}, {1152, 136}, {33, 65}};
  constexpr int64_t kRows = 131;
  for (const auto& [in, out] : sizes) {
    for (const DType compute : {DType::kF32, DType::kBF16}) {
      const Layer layer = random_layer(in, out, compute);
      const Tensor input = random_tensor({kRows, in}, compute, 3);
      for (const CpuContext& one : contexts(1)) {
        const Tensor whole = layer.run(one, input, compute, Activation::kGeluTanh);
        for (const int threads : {2, 5}) {
          CpuContext context = one;
          context.threads = threads;
          for (const auto& [first, count] : std::vector<std::array<int64_t, 2>>{
                   {0, kRows}, {0, 1}, {7, 1}, {130, 1}, {3, 2}, {50, 5}, {64, 64}, {1, 100}}) {
            Tensor part({count, in}, compute);
            const ConstTensorView rows = ConstTensorView(input).rows(first, count);
            std::memcpy(part.view().data(), rows.data(), rows.bytes());
            EXPECT_TRUE(same_bits(layer.run(context, part, compute, Activation::kGeluTanh),
                                  ConstTensorView(whole).rows(first, count)))
                << describe(context) << " rows " << first << " + " << count << " in " << in
                << " out " << out << " compute " << dtype_name(compute);
          }
        }
      }
    }
  }
}

TEST(CpuLinear, RefusesAnInputOfTheWrongWidth) {
  const CpuContext context{.threads = 1, .isa = available_isas().back(), .bf16_native = false};
  const Layer layer = random_layer(8, 8, DType::kF32);
  EXPECT_THROW(
      layer.run(context, random_tensor({2, 7}, DType::kF32, 1), DType::kF32, Activation::kNone),
      Error);
}

}  // namespace
}  // namespace engine::cpu
