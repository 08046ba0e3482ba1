// How a feature changes from step to step: measured, and carried on as finite differences, from
// which a later step forecasts it (TaylorSeer, arXiv 2503.06923).
#pragma once

#include <array>

#include "core/tensor_view.h"

namespace engine {

// sums[b] = {Σ |a[b] - b[b]|, Σ |b[b]|} over everything but axis 0: their quotient is the relative
// L1 change from b to a. Differences and sums in double, in an order that depends on the shape and
// the instruction set alone. Reads both tensors once: bound by memory.
struct RelativeL1Args {
  ConstTensorView a, b;  // [B, ..], fp32
  TensorView sums;       // [B, 2], fp64
};

inline constexpr int kMaxDifferenceOrders = 4;  // more forecast noise, whatever the policy

// D_0' = fresh, D_{i+1}' = (D_i' - D_i) · inverse_distance, elementwise, each operation rounded to
// fp32: backward differences over the distance in steps. Reads and writes every difference once:
// bound by memory.
struct UpdateDifferencesArgs {
  ConstTensorView fresh;  // fp32
  // D_0 to D_{count - 1} of the same shape, fp32, bf16 or fp8: what is kept is rounded, what goes
  // on to the next order is not. The last one's old value is not read.
  std::array<TensorView, kMaxDifferenceOrders + 1> differences;
  int count = 1;  // 1 .. kMaxDifferenceOrders + 1
  float inverse_distance = 1.0f;
};

}  // namespace engine
