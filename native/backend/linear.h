// Linear layers: output = activation(input · weightᵀ + bias), or added to the residual stream.
#pragma once

#include "backend/residual.h"

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

// output = input · weightᵀ + bias, then residual += gate ⊙ output as residual_add() does it, to the
// same bits: a module's last product and what it adds to the stream. A backend that can adds as it
// multiplies; another makes the product in `output` first.
struct LinearResidualArgs {
  const LinearWeights* weights = nullptr;
  ConstTensorView input;    // [B·N, in] of weights->compute()
  TensorView output;        // [B, N, out], fp32
  bool keep_output = true;  // else `output` is undefined afterwards
  TensorView residual;      // [B, N, out], fp32
  RowVectors gate;          // null: 1; for tokens of noisy frames
  RowVectors gate_clean;    // for tokens of clean frames
  FrameMask frames;
};

// linear() of the chosen tokens, each row written to its token's place as scatter_rows() does it. A
// backend that can writes there as it multiplies; another makes the rows in `rows` first.
struct LinearScatterArgs {
  const LinearWeights* weights = nullptr;
  ConstTensorView input;    // [B·K, in] of weights->compute()
  ConstTensorView indices;  // [B, K], i32, distinct in a row
  TensorView rows;          // [B, K, out], fp32; undefined afterwards
  TensorView output;        // [B, N, out], fp32, bf16 or fp8; other tokens stay as they are
};

}  // namespace engine
