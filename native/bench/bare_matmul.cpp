#include "bench/bare_matmul.h"

namespace engine::bench {

using dnnl::memory;

BareMatmul::BareMatmul(ConstTensorView weight, ConstTensorView input, TensorView output)
    : engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {
  const int64_t rows = input.dim(0), in = weight.dim(1), out = weight.dim(0);
  const auto type =
      input.dtype() == DType::kBF16 ? memory::data_type::bf16 : memory::data_type::f32;
  const memory::desc input_desc({rows, in}, type, memory::format_tag::ab);
  const memory::desc output_desc({rows, out}, type, memory::format_tag::ab);
  const dnnl::matmul::primitive_desc description(
      {input_desc, {{in, out}, type, memory::format_tag::any}, output_desc}, engine_);
  input_ = memory(input_desc, engine_, const_cast<void*>(input.data()));
  output_ = memory(output_desc, engine_, output.data());
  weight_ = memory(description.weights_desc(), engine_);
  memory given({{in, out}, memory::data_type::f32, memory::format_tag::ba}, engine_,
               const_cast<void*>(weight.data()));
  dnnl::reorder(given, weight_).execute(stream_, given, weight_);
  stream_.wait();
  primitive_ = dnnl::matmul(description);
}

void BareMatmul::run() {
  primitive_.execute(
      stream_, {{DNNL_ARG_SRC, input_}, {DNNL_ARG_WEIGHTS, weight_}, {DNNL_ARG_DST, output_}});
  stream_.wait();
}

}  // namespace engine::bench
