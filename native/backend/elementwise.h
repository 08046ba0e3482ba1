// Small pointwise operations.
#pragma once

#include "backend/linear.h"

namespace engine {

// output = activation(input); any shape, may be in place.
struct ActivateArgs {
  ConstTensorView input;  // fp32
  Activation activation = Activation::kSilu;
  TensorView output;  // fp32 or bf16
};

// output = gelu_tanh(gate) ⊙ value (T5 v1.1).
struct GatedGeluArgs {
  ConstTensorView gate, value;  // [rows, C], fp32
  TensorView output;            // [rows, C], fp32 or bf16
};

// output = a + b, elementwise; may be in place.
struct AddArgs {
  ConstTensorView a, b;  // fp32
  TensorView output;     // fp32
};

// Between fp32, bf16 and fp8, same shape. A row of fp8 gets the scale of its largest magnitude:
// f8_scale() in core/dtype.h.
struct ConvertArgs {
  ConstTensorView input;
  TensorView output;
};

}  // namespace engine
