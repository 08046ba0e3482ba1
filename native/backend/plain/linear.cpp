// output = activation(input · weightᵀ + bias), one dot product after the other.
#include <vector>

#include "backend/plain/element.h"
#include "backend/plain/operations.h"
#include "backend/shapes.h"

namespace engine::plain {

namespace {

class PlainLinearWeights final : public LinearWeights {
 public:
  PlainLinearWeights(int64_t in, int64_t out, DType compute) : LinearWeights(in, out, compute) {}

  std::vector<float> weight;  // [out, in], rounded to bf16 if that is what is computed in
  std::vector<float> bias;    // [out], zeros if there is none
};

}  // namespace

std::unique_ptr<LinearWeights> pack_linear(ConstTensorView weight, ConstTensorView bias,
                                           DType compute) {
  check_linear_weights(weight, bias, compute);
  auto packed = std::make_unique<PlainLinearWeights>(weight.dim(1), weight.dim(0), compute);
  packed->weight.resize(static_cast<size_t>(weight.elements()));
  packed->bias.resize(static_cast<size_t>(weight.dim(0)), 0.0f);
  for (size_t i = 0; i < packed->weight.size(); ++i) {
    const float value = load(weight, static_cast<int64_t>(i));
    packed->weight[i] = compute == DType::kBF16 ? float_from_bf16(bf16_from_float(value)) : value;
  }
  for (size_t i = 0; i < packed->bias.size() && !bias.empty(); ++i) {
    packed->bias[i] = load(bias, static_cast<int64_t>(i));
  }
  return packed;
}

void linear(const LinearArgs& args) {
  check_args(args);
  const auto& weights = dynamic_cast<const PlainLinearWeights&>(*args.weights);
  const int64_t in = weights.in(), out = weights.out();
  std::vector<float> row(static_cast<size_t>(in));
  for (int64_t r = 0; r < args.input.dim(0); ++r) {
    for (int64_t i = 0; i < in; ++i) row[static_cast<size_t>(i)] = load(args.input, r * in + i);
    for (int64_t o = 0; o < out; ++o) {
      const float* weight = weights.weight.data() + o * in;
      double sum = 0.0;
      for (int64_t i = 0; i < in; ++i) {
        sum += static_cast<double>(row[static_cast<size_t>(i)]) * static_cast<double>(weight[i]);
      }
      sum += static_cast<double>(weights.bias[static_cast<size_t>(o)]);
      store(args.output, r * out + o, activated(sum, args.activation));
    }
  }
}

void linear_residual(const LinearResidualArgs& args) {
  check_args(args);
  const Shape rows{args.input.dim(0), args.weights->out()};
  linear({.weights = args.weights, .input = args.input, .output = args.output.reshaped(rows)});
  ResidualAddArgs add{.residual = args.residual, .terms = {}, .count = 1, .frames = args.frames};
  add.terms[0] = {.feature = args.output,
                  .gate = args.gate,
                  .gate_clean = args.gate_clean,
                  .clean_feature = {}};
  residual_add(add);
}

void linear_scatter(const LinearScatterArgs& args) {
  check_args(args);
  linear({.weights = args.weights,
          .input = args.input,
          .output = args.rows.reshaped({args.input.dim(0), args.weights->out()})});
  scatter_rows({.input = args.rows, .indices = args.indices, .output = args.output});
}

}  // namespace engine::plain
