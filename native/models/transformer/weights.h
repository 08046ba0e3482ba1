// The weights that the blocks of every transformer have, and how they are taken from a checkpoint.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "core/checkpoint.h"
#include "models/transformer/sizes.h"

namespace engine {

// One block.
struct BlockWeights {
  std::unique_ptr<LinearWeights> qkv, attn_proj;             // attn.qkv, attn.proj
  Tensor q_norm, k_norm;                                     // [head_dim], device; empty: no norm
  std::unique_ptr<LinearWeights> q_linear, kv_linear, proj;  // cross_attn.*; null: none
  std::unique_ptr<LinearWeights> fc1, fc2;                   // mlp.*
};

// Linear, SiLU, Linear of a sinusoid.
struct SinusoidEmbedder {
  std::unique_ptr<LinearWeights> linear0, linear2;  // mlp.0, mlp.2
};

// Where the sinusoids of some values are embedded: one value for each row.
struct SinusoidBuffers {
  TensorView values;    // [rows]
  TensorView sinusoid;  // [rows, kSinusoidWidth]
  TensorView hidden;    // [rows, C]
};

// Embeds one value for each row: sinusoid, Linear, SiLU, Linear.
void embed_value(Backend& backend, const SinusoidEmbedder& embedder, std::span<const float> values,
                 const SinusoidBuffers& buffers, TensorView output);

// Bytes of a linear layer's weight and bias as they are kept.
uint64_t linear_bytes(int64_t in, int64_t out, DType compute);

// Takes tensors from a checkpoint by name. Everything throws Error(kInvalidCheckpoint) naming the
// tensor, its shape and the one that the config asks for.
class WeightLoader {
 public:
  WeightLoader(const Checkpoint& checkpoint, Backend& backend)
      : source_(checkpoint), backend_(backend) {}

  // `name`.weight [out, in] and `name`.bias [out].
  std::unique_ptr<LinearWeights> linear(const std::string& name, int64_t in, int64_t out,
                                        DType compute) const;
  // Layers of one input as one: outputs one after the other, `out` each.
  std::unique_ptr<LinearWeights> stacked(const std::vector<std::string>& names, int64_t in,
                                         int64_t out, DType compute) const;
  // A convolution whose stride is its kernel, `weight` [out, in, ...], as a matrix over the
  // flattened patch; fp32.
  std::unique_ptr<LinearWeights> patch_convolution(const std::string& name,
                                                   const Shape& weight) const;
  SinusoidEmbedder sinusoid_embedder(const std::string& linear0, const std::string& linear2,
                                     int64_t hidden) const;
  Tensor host(const std::string& name, const Shape& shape) const;    // fp32
  Tensor device(const std::string& name, const Shape& shape) const;  // fp32

  const Checkpoint& source() const { return source_; }

 private:
  // The pages that were read for it are given back: beside what is packed, memory holds one tensor.
  std::unique_ptr<LinearWeights> packed(ConstTensorView weight, ConstTensorView bias,
                                        DType compute) const;

  const Checkpoint& source_;
  Backend& backend_;
};

}  // namespace engine
