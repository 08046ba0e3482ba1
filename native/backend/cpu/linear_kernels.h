// The kernel below linear layers and convolutions where oneDNN does not run: a block of rows times
// one panel of columns. Rows are found through pointers, so that the taps of a convolution need no
// copy of the picture. One table of functions an instruction set.
#pragma once

#include <cstdint>

namespace engine::cpu {

enum class Epilogue : int { kNone, kGeluTanh, kSilu };

// output[p, :] = epilogue(Σ_t Σ_i rows[t][r][i] · panel[t, i, :] + bias) + residual[p, :], p =
// places[r].
struct PanelProduct {
  const void* const* rows = nullptr;  // [taps, row_stride] pointers to `depth` numbers each
  bool rows_bf16 = false;             // else fp32
  int64_t row_stride = 0;             // pointers from one tap to the next
  int64_t row_count = 0;
  int64_t taps = 1;
  int64_t depth = 0;
  const void* panel = nullptr;  // [taps · depth, panel_columns], fp32 or bf16; pairs:
                                // [taps · depth / 2, panel_columns, 2], bf16
  bool panel_bf16 = false;
  float* sums = nullptr;        // scratch: [row_count, panel_columns]
  float* piece = nullptr;       // scratch for a bf16 panel: piece_floats
  const float* bias = nullptr;  // [panel_columns]
  Epilogue epilogue = Epilogue::kNone;
  const int64_t* places = nullptr;  // [row_count]
  const void* residual = nullptr;   // [places, output_stride] from this panel's column, or null
  void* output = nullptr;           // likewise, of the same dtype; null: `sums` are the result
  bool output_bf16 = false;
  int64_t output_stride = 0;
  int64_t columns = 0;  // how many of the panel's columns exist
};

struct LinearKernels {
  int64_t panel_columns;
  int64_t piece_floats;
  void (*multiply)(const PanelProduct& product);
  // bf16 to fp32, and back, rounded to nearest even.
  void (*widen)(const uint16_t* from, float* to, int64_t count);
  void (*narrow)(const float* from, uint16_t* to, int64_t count);
};

namespace baseline {
extern const LinearKernels linear_kernels;
}
namespace avx2 {
extern const LinearKernels linear_kernels;
}
namespace avx512 {
extern const LinearKernels linear_kernels;
}
namespace avx512_bf16 {
// The product where rows are bf16 and the panel is made of pairs: depth is even, and the CPU
// multiplies bf16.
void multiply_pairs(const PanelProduct& product);
}  // namespace avx512_bf16

}  // namespace engine::cpu
