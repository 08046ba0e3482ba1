// The kernel below linear layers on AVX-512: a block of rows times one panel of columns, finished
// while the sums are still in registers. A row says for itself where it comes from and goes to, so
// that what follows a product (bias, activation, gate, residual) needs no pass of its own.
//
// Compiled twice: for rows and panels of fp32, and for pairs of bf16 (AVX512-BF16).
#pragma once

#include <cstdint>

#include "backend/cpu/linear_kernels.h"

namespace engine::cpu {

// value = epilogue(bias + Σ_i input[i] · panel[i, :]), into `output` if there is one; then
// residual += gate ⊙ value if there is one, rounded after each operation. All begin at column 0.
struct LayerRow {
  const void* input = nullptr;  // fp32, or bf16 in pairs
  void* output = nullptr;       // fp32 or bf16, or null
  float* residual = nullptr;    // or null
  const float* gate = nullptr;  // null: 1
};

struct LayerProduct {
  const LayerRow* rows = nullptr;
  int64_t row_count = 0;
  int64_t steps = 0;            // of the depth: numbers of fp32, pairs of bf16
  const void* panel = nullptr;  // [steps, panel columns], fp32 or pairs of bf16
  int panel_vectors = 0;        // of its columns: 3 or 4 times 16
  const float* bias = nullptr;  // [panel columns]
  float* sums = nullptr;        // scratch: [row_count, panel columns]
  Epilogue epilogue = Epilogue::kNone;
  bool output_bf16 = false;
  int64_t first_column = 0;  // of the layer
  int64_t columns = 0;       // how many of the panel's columns exist
};

namespace avx512 {
void multiply_layer(const LayerProduct& product);
}
namespace avx512_bf16 {
void multiply_layer(const LayerProduct& product);
}

}  // namespace engine::cpu
