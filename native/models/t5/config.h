// Sizes of a T5 v1.1 text encoder, from its config.json.
#pragma once

#include <filesystem>

#include "core/dtype.h"
#include "core/json.h"

namespace engine {

struct T5Config {
  int64_t d_model = 0;
  int64_t d_kv = 0;
  int64_t d_ff = 0;
  int64_t num_heads = 0;
  int64_t num_layers = 0;
  int64_t vocab_size = 0;  // rows of the embedding; the checkpoint may hold more
  int64_t relative_attention_num_buckets = 32;
  int64_t relative_attention_max_distance = 128;
  float layer_norm_epsilon = 1e-6f;

  int64_t inner_dim() const { return num_heads * d_kv; }
};

// `context` names the file in errors. Throws Error(kInvalidCheckpoint) for a missing or absurd
// field, Error(kUnsupported) for a T5 that is not v1.1 (feed_forward_proj other than gated-gelu).
T5Config parse_t5_config(const Json& json, const std::string& context);
// Reads config.json of a text_encoder folder.
T5Config read_t5_config(const std::filesystem::path& folder);

// Bytes of the packed weights; in fp32 less where the checkpoint holds the embedding in half
// precision.
uint64_t t5_weights_bytes(const T5Config& config, DType compute);
// Bytes that encode() needs beyond the weights, its output included.
uint64_t t5_workspace_bytes(const T5Config& config, DType compute, int64_t batch, int64_t length);
inline uint64_t t5_bytes(const T5Config& config, DType compute, int64_t batch, int64_t length) {
  return t5_weights_bytes(config, compute) + t5_workspace_bytes(config, compute, batch, length);
}

}  // namespace engine
