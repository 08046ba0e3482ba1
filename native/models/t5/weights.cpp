#include "models/t5/weights.h"

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

Tensor load_embedding(Backend& backend, const Checkpoint& checkpoint, const T5Config& config) {
  const ConstTensorView table = find_embedding(checkpoint, config);
  const bool half = table.dtype() == DType::kF16 || table.dtype() == DType::kBF16;
  Tensor embedding = backend.pack_tensor(table, half ? table.dtype() : DType::kF32);
  checkpoint.give_back(table);
  return embedding;
}

class BlockLoader {
 public:
  BlockLoader(Backend& backend, const Checkpoint& checkpoint, const T5Config& config, DType compute,
              int64_t block)
      : backend_(backend),
        checkpoint_(checkpoint),
        config_(config),
        compute_(compute),
        prefix_("encoder.block." + std::to_string(block) + ".") {}

  T5BlockWeights load() const {
    const int64_t model = config_.d_model;
    const int64_t inner = config_.inner_dim();
    T5BlockWeights weights;
    weights.attention_norm = norm("layer.0.layer_norm");
    weights.q = linear("layer.0.SelfAttention.q", inner, model);
    weights.k = linear("layer.0.SelfAttention.k", inner, model);
    weights.v = linear("layer.0.SelfAttention.v", inner, model);
    weights.o = linear("layer.0.SelfAttention.o", model, inner);
    weights.mlp_norm = norm("layer.1.layer_norm");
    weights.wi_0 = linear("layer.1.DenseReluDense.wi_0", config_.d_ff, model);
    weights.wi_1 = linear("layer.1.DenseReluDense.wi_1", config_.d_ff, model);
    weights.wo = linear("layer.1.DenseReluDense.wo", model, config_.d_ff);
    return weights;
  }

 private:
  Tensor norm(const char* name) const {
    const Shape shape{config_.d_model};
    return backend_.pack_tensor(checkpoint_.get_float(prefix_ + name + ".weight", shape),
                                DType::kF32);
  }
  std::unique_ptr<LinearWeights> linear(const char* name, int64_t out, int64_t in) const {
    const ConstTensorView weight =
        checkpoint_.get_float(prefix_ + name + ".weight", Shape{out, in});
    auto linear = backend_.pack_linear(weight, {}, compute_);
    checkpoint_.give_back(weight);
    return linear;
  }

  Backend& backend_;
  const Checkpoint& checkpoint_;
  const T5Config& config_;
  DType compute_;
  std::string prefix_;
};

}  // namespace

T5Weights load_t5_weights(Backend& backend, const Checkpoint& checkpoint, const T5Config& config,
                          DType compute) {
  T5Weights weights;
  weights.embedding = load_embedding(backend, checkpoint, config);
  weights.relative_attention_bias = to_f32(
      checkpoint.get_float("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
                           Shape{config.relative_attention_num_buckets, config.num_heads}));
  for (int64_t block = 0; block < config.num_layers; ++block) {
    weights.blocks.push_back(BlockLoader(backend, checkpoint, config, compute, block).load());
  }
  weights.final_norm = backend.pack_tensor(
      checkpoint.get_float("encoder.final_layer_norm.weight", Shape{config.d_model}), DType::kF32);
  return weights;
}

}  // namespace engine
