// Chooses who multiplies: on AVX-512 the layers of linear_layers.h, with tiles of bf16 oneDNN, and
// elsewhere the panels.
#include "backend/cpu/linear.h"

#include "backend/cpu/linear_layers.h"
#include "backend/cpu/linear_onednn.h"
#include "backend/cpu/linear_panels.h"
#include "backend/cpu/residual.h"
#include "backend/cpu/select.h"
#include "backend/shapes.h"

namespace engine::cpu {

namespace {

class PanelLinearWeights final : public LinearWeights {
 public:
  PanelLinearWeights(int64_t in, int64_t out, DType compute, Panels packed)
      : LinearWeights(in, out, compute), panels(std::move(packed)) {}

  Panels panels;
};

// The rows of a matrix; bf16 ones are made fp32 a block at a time.
class MatrixRows final : public RowSource {
 public:
  MatrixRows(const LinearKernels& kernels, ConstTensorView matrix)
      : kernels_(kernels), matrix_(matrix) {}

  TapRange locate(int64_t first, int64_t count, const void** pointers, int64_t,
                  float* copy) const override {
    const int64_t width = matrix_.dim(1);
    if (widened()) kernels_.widen(matrix_.bf16() + first * width, copy, count * width);
    const float* rows = widened() ? copy : matrix_.f32() + first * width;
    for (int64_t i = 0; i < count; ++i) pointers[i] = rows + i * width;
    return {};
  }
  int64_t copy_floats_a_row() const override { return widened() ? matrix_.dim(1) : 0; }

 private:
  bool widened() const { return matrix_.dtype() == DType::kBF16; }

  const LinearKernels& kernels_;
  ConstTensorView matrix_;
};

}  // namespace

std::unique_ptr<LinearWeights> pack_linear(const CpuContext& context, ConstTensorView weight,
                                           ConstTensorView bias, DType compute) {
  check_linear_weights(weight, bias, compute);
  if (context.isa == Isa::kAvx512 && (compute == DType::kF32 || context.bf16_native)) {
    if (compute == DType::kBF16 && context.bf16_tiles) {
      if (auto packed = pack_linear_onednn(context, weight, bias, compute)) return packed;
    }
    return pack_layer(context, weight, bias, compute);
  }
  return std::make_unique<PanelLinearWeights>(weight.dim(1), weight.dim(0), compute,
                                              pack_panels(context, weight, 1, bias, compute));
}

void linear(const CpuContext& context, const LinearArgs& args) {
  check_args(args);
  if (run_layer(context, args) || linear_onednn(context, args)) return;
  const auto& weights = dynamic_cast<const PanelLinearWeights&>(*args.weights);
  const MatrixRows rows(linear_kernels_for(context.isa), args.input);
  multiply_rows(context, {.panels = &weights.panels,
                          .source = &rows,
                          .rows = args.input.dim(0),
                          .epilogue = epilogue_of(args.activation),
                          .output = args.output.data(),
                          .output_bf16 = args.output.dtype() == DType::kBF16});
}

void linear_residual(const CpuContext& context, const LinearResidualArgs& args) {
  check_args(args);
  if (run_layer(context, args)) return;
  const Shape rows{args.input.dim(0), args.weights->out()};
  linear(context,
         {.weights = args.weights, .input = args.input, .output = args.output.reshaped(rows)});
  ResidualAddArgs add{.residual = args.residual, .terms = {}, .count = 1, .frames = args.frames};
  add.terms[0] = {.feature = args.output,
                  .gate = args.gate,
                  .gate_clean = args.gate_clean,
                  .clean_feature = {}};
  residual_add(context, add);
}

void linear_scatter(const CpuContext& context, const LinearScatterArgs& args) {
  check_args(args);
  if (run_layer(context, args)) return;
  linear(context, {.weights = args.weights,
                   .input = args.input,
                   .output = args.rows.reshaped({args.input.dim(0), args.weights->out()})});
  scatter_rows(context, {.input = args.rows, .indices = args.indices, .output = args.output});
}

}  // namespace engine::cpu
