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
  return std::make_unique<PanelLinearWeights>(
      weight.dim(1), weight.dim(0), compute,
      pack_panels(linear_kernels_for(context.isa), weight, 1, bias, compute));
}

void linear(const CpuContext& context, const LinearArgs& args) {
  check_args(args);
  if (linear_onednn(context, args)) return;
  const auto& weights = dynamic_cast<const PanelLinearWeights&>(*args.weights);
  const LinearKernels& kernels = linear_kernels_for(context.isa);
  const ConstTensorView input = args.input;
  const int64_t in = weights.in();
  const bool widen = input.dtype() == DType::kBF16;
  multiply_rows(context, {
                             .panels = &weights.panels,
                             .rows = input.dim(0),
                             .locate =
                                 [&](int64_t first, int64_t count, const float** pointers, int64_t,
                                     float* copy) {
                                   if (widen)
                                     kernels.widen(input.bf16() + first * in, copy, count * in);
                                   const float* rows = widen ? copy : input.f32() + first * in;
                                   for (int64_t i = 0; i < count; ++i) pointers[i] = rows + i * in;
                                   return TapRange{};
                                 },
                             .copy_floats_a_row = widen ? in : 0,
                             .epilogue = epilogue_of(args.activation),
                             .output = args.output.data(),
                             .output_bf16 = args.output.dtype() == DType::kBF16,
                         });
}

}  // namespace engine::cpu
