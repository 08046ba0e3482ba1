// Attention of bf16 data on CPUs that multiply bf16 in pairs (AVX512-BF16): what takes the place of
// the functions of the same names in AttentionKernels. Queries, keys, values and probabilities
// are multiplied as bf16; scores, sums and what is told of a map (entropy, column sums) are fp32.
#pragma once

#include "backend/cpu/attention_kernels.h"

namespace engine::cpu::avx512_bf16 {

inline constexpr int64_t kQueryTile = 64;  // counts of queries that are multiples waste nothing
inline constexpr int64_t kKeyTile = 120;   // twenty tiles of products, or sixty pairs

int64_t sequence_floats(int64_t count, int64_t width);
void sequence_attend(const SequenceTask& task);
int64_t column_floats(int64_t width);
void column_add(const ColumnTask& task);
void text_pack(const TextPackTask& task);
int64_t text_floats(int64_t count, int64_t keys, int64_t width);
void text_attend(const TextTask& task);

}  // namespace engine::cpu::avx512_bf16
