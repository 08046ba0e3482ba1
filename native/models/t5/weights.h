// The encoder's weights in the layout that the backend likes, named as transformers names them.
#pragma once

#include <memory>
#include <vector>

#include "backend/backend.h"
#include "core/checkpoint.h"
#include "models/t5/config.h"

namespace engine {

// Linear layers have no biases.
struct T5BlockWeights {
  Tensor attention_norm;                          // layer.0.layer_norm, [d_model], fp32
  std::unique_ptr<LinearWeights> q, k, v, o;      // layer.0.SelfAttention
  Tensor mlp_norm;                                // layer.1.layer_norm, [d_model], fp32
  std::unique_ptr<LinearWeights> wi_0, wi_1, wo;  // layer.1.DenseReluDense
};

struct T5Weights {
  Tensor embedding;  // [vocabulary, d_model], bf16 in bf16, else as it was or fp32; on the device
  Tensor relative_attention_bias;  // [buckets, heads], fp32, host: the table of block 0
  std::vector<T5BlockWeights> blocks;
  Tensor final_norm;  // [d_model], fp32
};

// Throws Error(kInvalidCheckpoint) naming the tensor that is missing, or of another shape or type
// than the config asks for.
void check_t5_weights(const Checkpoint& checkpoint, const T5Config& config);
// Throws as check_t5_weights().
T5Weights load_t5_weights(Backend& backend, const Checkpoint& checkpoint, const T5Config& config,
                          DType compute);

}  // namespace engine
