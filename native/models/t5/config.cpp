#include "models/t5/config.h"

#include "engine/error.h"

namespace engine {
namespace {

// Far above any published T5 and low enough that no product of two sizes overflows.
constexpr int64_t kMaxWidth = 1 << 20;
constexpr int64_t kMaxVocabulary = 1 << 24;
constexpr int64_t kMaxLayers = 1024;
constexpr int64_t kMaxHeads = 4096;
constexpr int64_t kMaxDistance = 1 << 16;

}  // namespace

T5Config parse_t5_config(const Json& json, const std::string& context) {
  const std::string projection = json_string_or(json, "feed_forward_proj", "relu", context);
  if (projection != "gated-gelu") {
    throw Error(ErrorCode::kUnsupported, context + ": feed_forward_proj is '" + projection +
                                             "'; only T5 v1.1 ('gated-gelu') is supported");
  }
  T5Config config;
  config.d_model = json_int(json, "d_model", context, 1, kMaxWidth);
  config.d_kv = json_int(json, "d_kv", context, 1, kMaxWidth);
  config.d_ff = json_int(json, "d_ff", context, 1, kMaxWidth);
  config.num_heads = json_int(json, "num_heads", context, 1, kMaxHeads);
  config.num_layers = json_int(json, "num_layers", context, 1, kMaxLayers);
  config.vocab_size = json_int(json, "vocab_size", context, 1, kMaxVocabulary);
  config.relative_attention_num_buckets =
      json_int_or(json, "relative_attention_num_buckets", 32, context, 4, kMaxDistance);
  // Half of the buckets stand for one direction, half of those for single distances: the
  // logarithmic ones need room above them.
  config.relative_attention_max_distance =
      json_int_or(json, "relative_attention_max_distance", 128, context,
                  config.relative_attention_num_buckets / 4 + 1, kMaxDistance);
  config.layer_norm_epsilon =
      static_cast<float>(json_number_or(json, "layer_norm_epsilon", 1e-6, context));
  return config;
}

T5Config read_t5_config(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "config.json";
  return parse_t5_config(read_json_file(file), file.string());
}

uint64_t t5_weights_bytes(const T5Config& config, DType compute) {
  const auto model = static_cast<uint64_t>(config.d_model);
  const auto inner = static_cast<uint64_t>(config.inner_dim());
  const auto hidden = static_cast<uint64_t>(config.d_ff);
  const auto layers = static_cast<uint64_t>(config.num_layers);
  const uint64_t linear_elements = layers * model * (4 * inner + 3 * hidden);
  const uint64_t embedding_elements = static_cast<uint64_t>(config.vocab_size) * model;
  const uint64_t norm_elements = (2 * layers + 1) * model;
  return (linear_elements + embedding_elements) * dtype_bytes(compute) +
         norm_elements * sizeof(float);
}

uint64_t t5_workspace_bytes(const T5Config& config, DType compute, int64_t batch, int64_t length) {
  const auto rows = static_cast<uint64_t>(batch * length);
  const auto model = static_cast<uint64_t>(config.d_model);
  const auto inner = static_cast<uint64_t>(config.inner_dim());
  const auto hidden = static_cast<uint64_t>(config.d_ff);
  const auto square = static_cast<uint64_t>(length * length);
  // Output, hidden, projected; q, k, v, attended; gate and value; bias.
  const uint64_t fp32_elements = rows * (3 * model + 4 * inner + 2 * hidden) +
                                 static_cast<uint64_t>(config.num_heads) * square;
  // What the linear layers read: normed, attended (a copy when bf16), gated.
  const uint64_t attended_copy = compute == DType::kF32 ? 0 : inner;
  const uint64_t compute_elements = rows * (model + attended_copy + hidden);
  // Ids and mask.
  return fp32_elements * sizeof(float) + compute_elements * dtype_bytes(compute) + rows * 5;
}

}  // namespace engine
