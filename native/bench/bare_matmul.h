// A oneDNN matmul and nothing around it: the yardstick for the engine's linear layers.
#pragma once

#include <dnnl.hpp>

#include "core/tensor.h"

namespace engine::bench {

// output = input · weightᵀ, the layout of the weights left to oneDNN and prepared once, no bias, no
// activation; on as many threads as OpenMP is set to.
class BareMatmul {
 public:
  // weight: [out, in], fp32; input and output: [rows, in] and [rows, out] of one dtype.
  BareMatmul(ConstTensorView weight, ConstTensorView input, TensorView output);
  void run();

 private:
  dnnl::engine engine_;
  dnnl::stream stream_;
  dnnl::memory input_, weight_, output_;
  dnnl::matmul primitive_;
};

}  // namespace engine::bench
