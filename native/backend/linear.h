// Linear layers: output = activation(input · weightᵀ + bias).
#pragma once

#include "core/tensor_view.h"

namespace engine {

enum class Activation { kNone, kGeluTanh, kSilu };

// Weights in the layout a backend prefers. Made by Backend::pack_linear.
class LinearWeights {
 public:
  virtual ~LinearWeights() = default;
  int64_t in() const { return in_; }
  int64_t out() const { return out_; }
  DType compute() const { return compute_; }

 protected:
  LinearWeights(int64_t in, int64_t out, DType compute) : in_(in), out_(out), compute_(compute) {}

 private:
  int64_t in_;
  int64_t out_;
  DType compute_;
};

struct LinearArgs {
  const LinearWeights* weights = nullptr;
  ConstTensorView input;  // [rows, in] of weights->compute()
  TensorView output;      // [rows, out], fp32 or bf16
  Activation activation = Activation::kNone;
};

}  // namespace engine
