// The kernels below attention: one head of one sequence at a time. One table of functions an
// instruction set, in fp32 whatever the dtype of the data; attention_pairs.h has what takes the
// place of some where the CPU multiplies bf16.
#pragma once

#include <cstdint>

namespace engine::cpu {

// Vectors of one head: vector i begins `i * stride` elements from data; fp32 or bf16.
struct HeadRows {
  const void* data = nullptr;
  int64_t stride = 0;
  bool bf16 = false;
};

// Applied to a query or key when it is read: RMS norm with weights, rotation, a factor.
struct HeadTransform {
  const float* norm = nullptr;  // [width], or null
  float eps = 0.0f;
  // [positions, padded width], or null: x · cosines + (x with pairs swapped) · sines, where each
  // cosine stands twice and each sine as (-sine, sine).
  const float* cosines = nullptr;
  const float* sines = nullptr;
  float factor = 1.0f;
};

// Queries [first, first + count) of a sequence over all of its keys.
struct SequenceTask {
  HeadRows query, key, value;
  int64_t first = 0;
  int64_t count = 0;
  int64_t keys = 0;
  int64_t width = 0;
  HeadTransform query_transform, key_transform;
  const float* bias = nullptr;        // [queries, keys], or null
  const uint8_t* key_mask = nullptr;  // [keys], 1 = attend, or null
  void* output = nullptr;             // vector i at i * output_stride; dtype of query
  int64_t output_stride = 0;
  // Of each query's softmax: the highest score and 1 / the sum, [queries], in the units of the
  // column_add beside it; or null.
  float* highest = nullptr;
  float* inverse = nullptr;
  float* scratch = nullptr;  // sequence_floats(count, width)
};

// Adds to sums[0, count) the probabilities that all queries of a sequence give to its keys
// [first, first + count); count <= columns. What sequence_attend left in highest and inverse.
struct ColumnTask {
  HeadRows query, key;
  int64_t queries = 0;
  int64_t first = 0;
  int64_t count = 0;
  int64_t width = 0;
  HeadTransform query_transform, key_transform;
  const float* highest = nullptr;  // [queries]
  const float* inverse = nullptr;  // [queries]
  float* sums = nullptr;           // [columns]; those from `count` on are spoilt
  float* scratch = nullptr;        // column_floats(width)
};

// Short sequences at neighbouring positions of a grid, one a lane: `positions` <= lanes of them,
// each of `length` tokens. Position p of token t begins at t * token_stride + p * position_stride.
struct GridTask {
  const void* query = nullptr;  // fp32 or bf16, as all of these
  const void* key = nullptr;
  const void* value = nullptr;
  bool bf16 = false;
  int64_t token_stride = 0;
  int64_t position_stride = 0;
  int64_t positions = 0;
  int64_t length = 0;
  int64_t width = 0;
  const float* query_norm = nullptr;  // [width], or null
  const float* key_norm = nullptr;    // likewise
  float eps = 0.0f;
  const float* cosines = nullptr;  // [length, width / 2], or null
  const float* sines = nullptr;    // likewise
  float scale = 1.0f;
  void* output = nullptr;
  int64_t output_token_stride = 0;
  int64_t output_position_stride = 0;
  float* scratch = nullptr;  // grid_floats(length, width)
};

// Keys and values of one head of one text, packed for text_attend: keys [width, padded keys],
// values [padded keys, padded width]; in pairs of bf16 keys [keys, padded pairs of the width],
// values [width, padded pairs of the keys].
struct TextPackTask {
  HeadRows key, value;
  int64_t keys = 0;
  int64_t width = 0;
  float* packed_keys = nullptr;
  float* packed_values = nullptr;
};

// `count` queries, all heads, over one text.
struct TextTask {
  HeadRows query;  // head h of query i begins at i * stride + h * width
  int64_t count = 0;
  int64_t heads = 0;
  int64_t keys = 0;
  int64_t width = 0;
  float scale = 1.0f;
  const float* packed_keys = nullptr;    // [heads] of TextPackTask's, packed_stride floats apart
  const float* packed_values = nullptr;  // likewise
  int64_t packed_stride = 0;
  void* output = nullptr;         // laid out as query
  float* half_entropy = nullptr;  // [count], or null
  float* scratch = nullptr;       // text_floats(count, keys, width)
};

struct AttentionKernels {
  int64_t lanes;      // padded means: rounded up to a multiple of this
  int64_t tile_rows;  // counts of queries that are multiples of this waste nothing
  int64_t (*sequence_floats)(int64_t count, int64_t width);
  void (*sequence_attend)(const SequenceTask& task);
  int64_t columns;  // keys that column_add takes at most
  int64_t (*column_floats)(int64_t width);
  void (*column_add)(const ColumnTask& task);
  int64_t (*grid_floats)(int64_t length, int64_t width);
  void (*grid_attend)(const GridTask& task);
  void (*text_pack)(const TextPackTask& task);
  int64_t (*text_floats)(int64_t count, int64_t keys, int64_t width);
  void (*text_attend)(const TextTask& task);
};

namespace baseline {
extern const AttentionKernels attention_kernels;
}
namespace avx2 {
extern const AttentionKernels attention_kernels;
}
namespace avx512 {
extern const AttentionKernels attention_kernels;
}

}  // namespace engine::cpu
