#include "backend/cpu/linear_onednn.h"

#include <omp.h>

#include <algorithm>
#include <array>
#include <dnnl.hpp>
#include <list>
#include <span>
#include <string>
#include <utility>

#include "backend/cpu/linear_panels.h"
#include "backend/cpu/scratch.h"
#include "core/check.h"
#include "core/sha256.h"
#include "core/tensor.h"
#include "engine/error.h"

namespace engine::cpu {

namespace {

using dnnl::memory;

// oneDNN picks the layout of the weights by the number of rows it is told. Many rows are what costs
// time; a layout chosen for them serves few rows as well.
constexpr int64_t kPackingRows = 1024;

// Shapes in use at a time: a model's layers times the row counts of a clip and its partial steps,
// for a few clips.
constexpr size_t kMaxCachedProducts = 256;

memory::data_type onednn_type(DType dtype) {
  return dtype == DType::kBF16 ? memory::data_type::bf16 : memory::data_type::f32;
}

const dnnl::engine& cpu_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

// oneDNN takes the number of threads from the calling thread's OpenMP setting.
void use_threads(int threads) {
  if (omp_get_max_threads() != threads) omp_set_num_threads(threads);
}

class OnednnLinearWeights final : public LinearWeights {
 public:
  OnednnLinearWeights(int64_t in, int64_t out, DType compute, Tensor packed,
                      const memory::desc& layout, Tensor packed_bias)
      : LinearWeights(in, out, compute),
        bytes(std::move(packed)),
        values(layout, cpu_engine(), bytes.view().data()),
        bias(std::move(packed_bias)) {}

  Tensor bytes;   // in the layout that oneDNN chose, u8
  memory values;  // of these bytes
  Tensor bias;    // [out]
};

// What a product is made for. Weights of one shape have one layout, so it serves every layer.
struct ProductKey {
  int64_t rows, in, out;
  DType compute, output;
  Activation activation;
  int threads;

  bool operator==(const ProductKey&) const = default;
};

dnnl::matmul::primitive_desc describe(const ProductKey& key, const memory::desc& weights) {
  const memory::desc source({key.rows, key.in}, onednn_type(key.compute), memory::format_tag::ab);
  const memory::desc bias({1, key.out}, memory::data_type::f32, memory::format_tag::ab);
  const memory::desc output({key.rows, key.out}, onednn_type(key.output), memory::format_tag::ab);
  dnnl::post_ops post_ops;
  if (key.activation == Activation::kGeluTanh) {
    post_ops.append_eltwise(1.0f, dnnl::algorithm::eltwise_gelu_tanh, 0.0f, 0.0f);
  } else if (key.activation == Activation::kSilu) {
    post_ops.append_eltwise(1.0f, dnnl::algorithm::eltwise_swish, 1.0f, 0.0f);
  }
  dnnl::primitive_attr attributes;
  attributes.set_post_ops(post_ops);
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return {{source, weights, bias, output}, attributes, cpu_engine()};
}

bool keeps_bits(const dnnl::matmul::primitive_desc& description) {
  return std::string(description.impl_info_str()).starts_with("brg");
}

struct Product {
  ProductKey key;
  dnnl::matmul primitive;
  memory source, bias, output, scratchpad;
  size_t scratchpad_bytes;
};

Product make_product(const ProductKey& key, const memory::desc& weights) {
  const auto description = describe(key, weights);
  check(keeps_bits(description), "oneDNN has no blocked matmul for this number of rows");
  const auto unset = [](const memory::desc& desc) {
    return memory(desc, cpu_engine(), DNNL_MEMORY_NONE);
  };
  return {.key = key,
          .primitive = dnnl::matmul(description),
          .source = unset(description.src_desc()),
          .bias = unset(description.bias_desc()),
          .output = unset(description.dst_desc()),
          .scratchpad = unset(description.scratchpad_desc()),
          .scratchpad_bytes = description.scratchpad_desc().get_size()};
}

// The most recently used products of this thread, newest first. Their memory objects are pointed
// at each call's data, so they belong to one thread.
Product& cached_product(const ProductKey& key, const memory::desc& weights) {
  static thread_local std::list<Product> products;
  for (auto product = products.begin(); product != products.end(); ++product) {
    if (product->key == key) {
      products.splice(products.begin(), products, product);
      return products.front();
    }
  }
  if (products.size() == kMaxCachedProducts) products.pop_back();
  products.push_front(make_product(key, weights));
  return products.front();
}

// The C interface, as the C++ one builds a map on the heap for each call. (oneDNN itself still
// allocates eight small blocks a call; large ones it takes from the scratchpad.)
void execute(Product& product, const memory& weights) {
  static thread_local dnnl::stream stream(cpu_engine());
  const std::array<dnnl_exec_arg_t, 5> arguments{{
      {DNNL_ARG_SRC, product.source.get()},
      {DNNL_ARG_WEIGHTS, weights.get()},
      {DNNL_ARG_BIAS, product.bias.get()},
      {DNNL_ARG_DST, product.output.get()},
      {DNNL_ARG_SCRATCHPAD, product.scratchpad.get()},
  }};
  const dnnl_status_t status = dnnl_primitive_execute(
      product.primitive.get(), stream.get(), static_cast<int>(arguments.size()), arguments.data());
  check(status == dnnl_success, "oneDNN could not run a matmul");
}

// The description is plain numbers: what it says of sizes, blocks and strides.
std::string layout_digest(const memory::desc& layout) {
  return sha256_hex(std::as_bytes(std::span(&layout.data, 1)));
}

// weight: [out, in], any float dtype, to `packed` of the layout's size.
void reorder(ConstTensorView weight, const memory::desc& layout, TensorView packed) {
  const Tensor source = to_f32(weight);
  memory rows({{weight.dim(1), weight.dim(0)}, memory::data_type::f32, memory::format_tag::ba},
              cpu_engine(), source.f32());
  memory values(layout, cpu_engine(), packed.data());
  dnnl::stream stream(cpu_engine());
  dnnl::reorder(rows, values).execute(stream, rows, values);
  stream.wait();
}

}  // namespace

std::unique_ptr<LinearWeights> pack_linear_onednn(const CpuContext& context, ConstTensorView weight,
                                                  ConstTensorView bias, DType compute) {
  const int64_t out = weight.dim(0), in = weight.dim(1);
  use_threads(context.threads);
  const ProductKey key{.rows = kPackingRows,
                       .in = in,
                       .out = out,
                       .compute = compute,
                       .output = DType::kF32,
                       .activation = Activation::kNone,
                       .threads = context.threads};
  try {
    const auto description =
        describe(key, memory::desc({in, out}, onednn_type(compute), memory::format_tag::any));
    if (!keeps_bits(description)) return nullptr;
    const memory::desc layout = description.weights_desc();
    Tensor values = keep_packed(context.packed, "onednn " + layout_digest(layout),
                                {static_cast<int64_t>(layout.get_size())}, DType::kU8,
                                [&](TensorView packed) { reorder(weight, layout, packed); });
    Tensor biases = keep_packed(context.packed, "bias", {out}, DType::kF32,
                                [&](TensorView packed) { fill_bias(bias, packed); });
    return std::make_unique<OnednnLinearWeights>(in, out, compute, std::move(values), layout,
                                                 std::move(biases));
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_unimplemented) return nullptr;
    const auto code =
        error.status == dnnl_out_of_memory ? ErrorCode::kOutOfMemory : ErrorCode::kInternal;
    throw Error(code, "oneDNN could not pack weights of " + weight.shape().to_string() + ": " +
                          error.what());
  }
}

bool linear_onednn(const CpuContext& context, const LinearArgs& args) {
  const auto* weights = dynamic_cast<const OnednnLinearWeights*>(args.weights);
  if (weights == nullptr) return false;
  const int64_t rows = args.input.dim(0);
  if (rows == 0) return true;
  // oneDNN does not round the sums of fp32 inputs to bf16 as it writes them.
  const bool narrow = weights->compute() == DType::kF32 && args.output.dtype() == DType::kBF16;
  const ProductKey key{.rows = rows,
                       .in = weights->in(),
                       .out = weights->out(),
                       .compute = weights->compute(),
                       .output = narrow ? DType::kF32 : args.output.dtype(),
                       .activation = args.activation,
                       .threads = context.threads};
  use_threads(context.threads);
  try {
    Product& product = cached_product(key, weights->values.get_desc());
    ScratchLayout layout;
    const size_t scratchpad = layout.add<std::byte>(static_cast<int64_t>(product.scratchpad_bytes));
    const size_t wide = layout.add<float>(narrow ? rows * key.out : 0);
    const Scratch scratch(layout.bytes(), 0, 0);
    auto* wide_output = reinterpret_cast<float*>(scratch.shared() + wide);
    product.source.set_data_handle(const_cast<void*>(args.input.data()));
    product.bias.set_data_handle(const_cast<float*>(weights->bias.view().f32()));
    product.output.set_data_handle(narrow ? wide_output : args.output.data());
    product.scratchpad.set_data_handle(scratch.shared() + scratchpad);
    execute(product, weights->values);
    if (narrow) {
      linear_kernels_for(context.isa).narrow(wide_output, args.output.bf16(), rows * key.out);
    }
  } catch (const dnnl::error& error) {
    throw Error(ErrorCode::kInternal, "oneDNN could not prepare a product of " +
                                          args.input.shape().to_string() + " with " +
                                          std::to_string(key.out) + " columns: " + error.what());
  }
  return true;
}

const char* onednn_version() {
  static const std::string version = [] {
    const dnnl_version_t* found = dnnl_version();
    return std::to_string(found->major) + "." + std::to_string(found->minor) + "." +
           std::to_string(found->patch);
  }();
  return version.c_str();
}

}  // namespace engine::cpu
