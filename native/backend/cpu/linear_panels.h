// Weights cut into panels of columns, and their product with rows: the engine's own path for linear
// layers and convolutions, the same bits on any number of threads and rows.
#pragma once

#include "backend/cpu/context.h"
#include "backend/cpu/linear_kernels.h"
#include "core/tensor.h"

namespace engine::cpu {

const LinearKernels& linear_kernels_for(Isa isa);

// Biases in front, zeros after them; `bias` may be empty.
void fill_bias(ConstTensorView bias, TensorView packed);

struct Panels {
  int64_t taps = 1;
  int64_t depth = 0;
  int64_t columns = 0;
  // [panels, taps · depth, panel_columns], fp32 or bf16; columns past the last are 0. With `pairs`
  // [panels, taps · depth / 2, panel_columns, 2], bf16, for rows of bf16.
  Tensor values;
  bool pairs = false;
  Tensor bias;  // [panels · panel_columns], fp32
};

// weight: [columns, depth, taps] in memory, any float dtype; bias: [columns] or empty. storage:
// kF32 or kBF16. pairs: of bf16 and an even depth, for CPUs that multiply them.
Panels pack_panels(const CpuContext& context, ConstTensorView weight, int64_t taps,
                   ConstTensorView bias, DType storage, bool pairs = false);

// Taps [first, last) that hold anything but zeros for some row of a block.
struct TapRange {
  int64_t first = 0;
  int64_t last = 1;
};

// Where the rows of a product lie. Called from several threads at once.
class RowSource {
 public:
  virtual ~RowSource() = default;
  // Writes where row first + r of tap t begins to pointers[t * row_stride + r], r < count. `copy`
  // is memory for count * copy_floats_a_row floats that lives as long as the pointers. Taps outside
  // the returned range are left out: adding zeros changes no bit.
  virtual TapRange locate(int64_t first, int64_t count, const void** pointers, int64_t row_stride,
                          float* copy) const = 0;
  virtual int64_t copy_floats_a_row() const { return 0; }
  // Writes which row of the output each of these rows is.
  virtual void place(int64_t first, int64_t count, int64_t* places) const;
  virtual bool bf16() const { return false; }  // what the pointers point to; else fp32
};

// What to multiply: rows [0, rows), each `taps` times `depth` numbers.
struct RowProduct {
  const Panels* panels = nullptr;
  const RowSource* source = nullptr;
  int64_t rows = 0;
  Epilogue epilogue = Epilogue::kNone;
  const void* residual = nullptr;  // like the output, or null
  void* output = nullptr;          // [rows, columns], rows where the source places them
  bool output_bf16 = false;
};

void multiply_rows(const CpuContext& context, const RowProduct& product);

}  // namespace engine::cpu
