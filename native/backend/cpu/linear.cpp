// Chooses who multiplies: oneDNN where its bits do not depend on rows and threads, else the panels.
#include "backend/cpu/linear.h"

#include "backend/cpu/linear_onednn.h"
#include "backend/cpu/linear_panels.h"
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

Epilogue epilogue_of(Activation activation) {
  switch (activation) {
    case Activation::kGeluTanh:
      return Epilogue::kGeluTanh;
    case Activation::kSilu:
      return Epilogue::kSilu;
    case Activation::kNone:
      break;
  }
  return Epilogue::kNone;
}

}  // namespace

std::unique_ptr<LinearWeights> pack_linear(const CpuContext& context, ConstTensorView weight,
                                           ConstTensorView bias, DType compute) {
  check_linear_weights(weight, bias, compute);
  if (context.isa == Isa::kAvx512 && (compute == DType::kF32 || context.bf16_native)) {
    if (auto packed = pack_linear_onednn(context, weight, bias, compute)) return packed;
  }
  return std::make_unique<PanelLinearWeights>(weight.dim(1), weight.dim(0), compute,
                                              pack_panels(context, weight, 1, bias, compute));
}

void linear(const CpuContext& context, const LinearArgs& args) {
  check_args(args);
  if (linear_onednn(context, args)) return;
  const auto& weights = dynamic_cast<const PanelLinearWeights&>(*args.weights);
  const MatrixRows rows(linear_kernels_for(context.isa), args.input);
  multiply_rows(context, {.panels = &weights.panels,
                          .source = &rows,
                          .rows = args.input.dim(0),
                          .epilogue = epilogue_of(args.activation),
                          .output = args.output.data(),
                          .output_bf16 = args.output.dtype() == DType::kBF16});
}

}  // namespace engine::cpu
