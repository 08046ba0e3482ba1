#include "models/t5/weights.h"

#include <array>

#include "engine/error.h"

namespace engine {
namespace {

// Either name is in use: T5EncoderModel saves both, or only the first.
ConstTensorView find_embedding(const Checkpoint& checkpoint, const T5Config& config) {
  ConstTensorView table = checkpoint.find("shared.weight");
  if (table.empty()) table = checkpoint.get("encoder.embed_tokens.weight");
  const Shape& shape = table.shape();
  const bool is_float = dtype_is_float(table.dtype());
  if (!is_float || shape.rank() != 2 || shape[0] < config.vocab_size ||
      shape[1] != config.d_model) {
    throw Error(ErrorCode::kInvalidCheckpoint,
                checkpoint.location().string() + ": the token embedding is " +
                    dtype_name(table.dtype()) + " " + shape.to_string() +
                    ", config.json asks for at least " +
                    Shape{config.vocab_size, config.d_model}.to_string());
  }
  return table;
}

Tensor load_embedding(Backend& backend, const Checkpoint& checkpoint, const T5Config& config,
                      DType compute) {
  const ConstTensorView table = find_embedding(checkpoint, config);
  // In fp32 half precision is kept as it is: rows are widened when they are looked up.
  const bool as_is = table.dtype() == DType::kF16 || table.dtype() == DType::kBF16;
  Tensor embedding =
      backend.pack_tensor(table, compute == DType::kF32 && as_is ? table.dtype() : compute);
  checkpoint.give_back(table);
  return embedding;
}

struct LinearName {
  const char* name;
  std::unique_ptr<LinearWeights> T5BlockWeights::*place;
  int64_t out, in;
};

struct NormName {
  const char* name;
  Tensor T5BlockWeights::*place;
};

constexpr std::array kNorms{NormName{"layer.0.layer_norm", &T5BlockWeights::attention_norm},
                            NormName{"layer.1.layer_norm", &T5BlockWeights::mlp_norm}};

std::array<LinearName, 7> linears_of(const T5Config& config) {
  const int64_t model = config.d_model, inner = config.inner_dim(), hidden = config.d_ff;
  return {{{"layer.0.SelfAttention.q", &T5BlockWeights::q, inner, model},
           {"layer.0.SelfAttention.k", &T5BlockWeights::k, inner, model},
           {"layer.0.SelfAttention.v", &T5BlockWeights::v, inner, model},
           {"layer.0.SelfAttention.o", &T5BlockWeights::o, model, inner},
           {"layer.1.DenseReluDense.wi_0", &T5BlockWeights::wi_0, hidden, model},
           {"layer.1.DenseReluDense.wi_1", &T5BlockWeights::wi_1, hidden, model},
           {"layer.1.DenseReluDense.wo", &T5BlockWeights::wo, model, hidden}}};
}

// The tensor of block `block`.
ConstTensorView block_tensor(const Checkpoint& checkpoint, int64_t block, const char* name,
                             const Shape& shape) {
  return checkpoint.get_float("encoder.block." + std::to_string(block) + "." + name + ".weight",
                              shape);
}

ConstTensorView bias_table(const Checkpoint& checkpoint, const T5Config& config) {
  return block_tensor(checkpoint, 0, "layer.0.SelfAttention.relative_attention_bias",
                      Shape{config.relative_attention_num_buckets, config.num_heads});
}

ConstTensorView final_norm(const Checkpoint& checkpoint, const T5Config& config) {
  return checkpoint.get_float("encoder.final_layer_norm.weight", Shape{config.d_model});
}

T5BlockWeights load_block(Backend& backend, const Checkpoint& checkpoint, const T5Config& config,
                          DType compute, int64_t block) {
  T5BlockWeights weights;
  for (const auto& [name, place] : kNorms) {
    weights.*place = backend.pack_tensor(
        block_tensor(checkpoint, block, name, Shape{config.d_model}), DType::kF32);
  }
  for (const auto& [name, place, out, in] : linears_of(config)) {
    const ConstTensorView weight = block_tensor(checkpoint, block, name, Shape{out, in});
    weights.*place = backend.pack_linear(weight, {}, compute);
    checkpoint.give_back(weight);
  }
  return weights;
}

}  // namespace

void check_t5_weights(const Checkpoint& checkpoint, const T5Config& config) {
  find_embedding(checkpoint, config);
  bias_table(checkpoint, config);
  for (int64_t block = 0; block < config.num_layers; ++block) {
    for (const NormName& norm : kNorms) {
      block_tensor(checkpoint, block, norm.name, Shape{config.d_model});
    }
    for (const LinearName& linear : linears_of(config)) {
      block_tensor(checkpoint, block, linear.name, Shape{linear.out, linear.in});
    }
  }
  final_norm(checkpoint, config);
}

T5Weights load_t5_weights(Backend& backend, const Checkpoint& checkpoint, const T5Config& config,
                          DType compute) {
  check_t5_weights(checkpoint, config);
  T5Weights weights;
  weights.embedding = load_embedding(backend, checkpoint, config, compute);
  weights.relative_attention_bias = to_f32(bias_table(checkpoint, config));
  for (int64_t block = 0; block < config.num_layers; ++block) {
    weights.blocks.push_back(load_block(backend, checkpoint, config, compute, block));
  }
  weights.final_norm = backend.pack_tensor(final_norm(checkpoint, config), DType::kF32);
  return weights;
}

}  // namespace engine
