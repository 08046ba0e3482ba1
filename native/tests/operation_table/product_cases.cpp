// Linear layers and convolutions.
#include "tests/operation_table/workbench.h"

namespace engine::operation_table {

namespace {

struct LinearSizes {
  int64_t rows, in, out;
};

OperationCase linear_case(LinearSizes sizes, DType compute, DType output, Activation activation,
                          bool bias) {
  std::string name = case_name("linear", {sizes.rows, sizes.in, sizes.out}, compute);
  name += std::string("_to_") + dtype_name(output);
  name += activation == Activation::kSilu ? "_silu" : "";
  name += activation == Activation::kGeluTanh ? "_gelu" : "";
  name += bias ? "" : "_without_bias";
  const double tolerance = tolerance_of(output);
  return {name, sizes.rows, tolerance, [=] {
            const Source weight = normal({sizes.out, sizes.in}, 1);
            const Source biases = normal({sizes.out}, 2);
            const Source input = normal({sizes.rows, sizes.in}, 3, compute);
            return [=](Workbench& bench, Rows rows) {
              const auto weights = bench.backend().pack_linear(
                  *weight, bias ? ConstTensorView(*biases) : ConstTensorView(), compute);
              bench.backend().linear({.weights = weights.get(),
                                      .input = bench.in(input, rows),
                                      .output = bench.out({rows.count, sizes.out}, output),
                                      .activation = activation});
              bench.backend().synchronize();
            };
          }};
}

struct ConvSizes {
  int64_t frames, height, width, in, out;
  std::array<int64_t, 3> kernel;
  ConvGeometry geometry;
};

OperationCase conv_case(const std::string& what, ConvSizes sizes, DType dtype, bool residual) {
  const bool framewise = sizes.kernel[0] == 1 && sizes.geometry.stride[0] == 1;
  const std::string name = case_name(
      "conv_" + what, {sizes.frames, sizes.height, sizes.width, sizes.in, sizes.out}, dtype);
  return {
      name, framewise ? sizes.frames : 1, tolerance_of(dtype), [=] {
        const auto [kt, kh, kw] = sizes.kernel;
        const Source weight = normal({sizes.out, sizes.in, kt, kh, kw}, 1);
        const Source bias = normal({sizes.out}, 2);
        const Source input = normal({sizes.frames, sizes.height, sizes.width, sizes.in}, 3, dtype);
        return [=](Workbench& bench, Rows rows) {
          const auto weights = bench.backend().pack_conv(*weight, *bias, sizes.geometry, dtype);
          const Rows frames = framewise ? rows : Rows{0, sizes.frames};
          const auto out = weights->output_size(frames.count, sizes.height, sizes.width);
          const Shape shape{out[0], out[1], out[2], sizes.out};
          // Its first frame is the first of the whole clip's: the noise is drawn per index.
          const auto whole = weights->output_size(sizes.frames, sizes.height, sizes.width);
          const Source added = normal({whole[0], out[1], out[2], sizes.out}, 4, dtype);
          bench.backend().conv(
              {.weights = weights.get(),
               .input = bench.in(input, frames),
               .residual = residual ? bench.in(added, {frames.first, out[0]}) : ConstTensorView(),
               .output = bench.out(shape, dtype)});
          bench.backend().synchronize();
        };
      }};
}

// A causal convolution over all frames of SiLU(group norm) of its input.
OperationCase normed_conv_case(ConvSizes sizes, int64_t groups, DType dtype) {
  const std::string name = case_name(
      "conv_normed", {sizes.frames, sizes.height, sizes.width, sizes.in, sizes.out}, dtype);
  return {
      name, 1, tolerance_of(dtype), [=] {
        const auto [kt, kh, kw] = sizes.kernel;
        const Source weight = normal({sizes.out, sizes.in, kt, kh, kw}, 1);
        const Source input = normal({sizes.frames, sizes.height, sizes.width, sizes.in}, 2, dtype);
        const Source norm_weight = normal({sizes.in}, 3), norm_bias = normal({sizes.in}, 4);
        const int64_t line_bytes = static_cast<int64_t>(input->bytes()) / sizes.height;
        return [=](Workbench& bench, Rows) {
          const auto weights = bench.backend().pack_conv(*weight, {}, sizes.geometry, dtype);
          const auto out = weights->output_size(sizes.frames, sizes.height, sizes.width);
          const Tensor lines = bench.backend().allocate({4 * line_bytes}, DType::kU8);
          bench.backend().conv({.weights = weights.get(),
                                .input = bench.in(input),
                                .residual = {},
                                .output = bench.out({out[0], out[1], out[2], sizes.out}, dtype),
                                .norm = {.weight = bench.in(norm_weight),
                                         .bias = bench.in(norm_bias),
                                         .groups = groups,
                                         .frames_per_norm = sizes.frames,
                                         .lines = lines}});
          bench.backend().synchronize();
        };
      }};
}

}  // namespace

std::vector<OperationCase> product_cases() {
  constexpr auto kNone = Activation::kNone;
  std::vector<OperationCase> cases;
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    cases.push_back(linear_case({1, 1, 1}, dtype, DType::kF32, kNone, true));
    cases.push_back(linear_case({3, 5, 7}, dtype, DType::kF32, Activation::kSilu, true));
    cases.push_back(linear_case({33, 144, 77}, dtype, dtype, Activation::kGeluTanh, true));
    cases.push_back(linear_case({70, 1152, 1152}, dtype, DType::kF32, kNone, true));
    cases.push_back(linear_case({2, 256, 1152}, dtype, DType::kF32, kNone, false));
    cases.push_back(linear_case({405, 16, 96}, dtype, DType::kBF16, kNone, true));
  }
  const ConvGeometry same{.pad_before = {0, 1, 1}, .pad_after = {0, 1, 1}};
  const ConvGeometry causal{.pad_before = {2, 1, 1}, .pad_after = {0, 1, 1}};
  const ConvGeometry halving{.stride = {2, 2, 2}, .pad_before = {1, 0, 0}, .pad_after = {0, 1, 1}};
  const ConvGeometry doubled{.pad_before = {0, 1, 1}, .pad_after = {0, 1, 1}, .upsample = true};
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    cases.push_back(conv_case("doubled", {3, 4, 5, 12, 20, {1, 3, 3}, doubled}, dtype, true));
    cases.push_back(conv_case("doubled", {2, 15, 27, 64, 64, {1, 3, 3}, doubled}, dtype, false));
    cases.push_back(conv_case("point", {3, 4, 5, 4, 4, {1, 1, 1}, {}}, dtype, false));
    cases.push_back(conv_case("picture", {3, 9, 7, 12, 20, {1, 3, 3}, same}, dtype, true));
    cases.push_back(conv_case("picture", {2, 15, 27, 64, 64, {1, 3, 3}, same}, dtype, false));
    cases.push_back(normed_conv_case({5, 6, 7, 8, 33, {3, 3, 3}, causal}, 4, dtype));
    cases.push_back(normed_conv_case({1, 15, 27, 64, 32, {1, 3, 3}, same}, 32, dtype));
    cases.push_back(normed_conv_case({3, 9, 6, 48, 40, {3, 3, 3}, causal}, 4, dtype));
    cases.push_back(conv_case("wide", {2, 7, 9, 36, 70, {1, 3, 3}, same}, dtype, true));
    cases.push_back(conv_case("wide", {1, 1, 1, 32, 32, {1, 3, 3}, same}, dtype, false));
    cases.push_back(conv_case("wide", {4, 5, 7, 33, 48, {3, 3, 3}, causal}, dtype, true));
    cases.push_back(conv_case("causal", {5, 6, 7, 8, 33, {3, 3, 3}, causal}, dtype, true));
    cases.push_back(conv_case("halving", {5, 8, 6, 3, 16, {3, 3, 3}, halving}, dtype, false));
    cases.push_back(conv_case("single", {1, 1, 1, 1, 1, {1, 1, 1}, {}}, dtype, false));
  }
  return cases;
}

}  // namespace engine::operation_table
