// The SIMD kernels below the operations that are bound by memory: one row or one range at a time.
// Kernels check nothing and start no threads; the operations do. Sources named *_kernels.cpp are
// compiled once for each instruction set, into a namespace of its own.
#pragma once

#include <cstdint>

#include "backend/cpu/isa.h"

namespace engine {
class ConstTensorView;
class TensorView;
}  // namespace engine

namespace engine::cpu {

enum class RowType : uint8_t { kF32, kBF16, kF8 };

// A row of floats in memory. fp8: with one scale, and only where it is said.
struct ConstRow {
  const void* data = nullptr;
  RowType type = RowType::kF32;
  const float* scale = nullptr;
};
struct Row {
  void* data = nullptr;
  RowType type = RowType::kF32;
  float* scale = nullptr;
};

// What one module adds to a row of the residual stream: gate ⊙ feature; a null gate is 1. The
// feature may be fp8.
struct TermRow {
  ConstRow feature;
  const float* gate = nullptr;
};
inline constexpr int kMaxTermRows = 3;

// One result per element, no sums. Where no exponential and no fused multiplication is involved,
// all instruction sets give the same bits. Outputs may be inputs, at the same place.
struct PointwiseKernels {
  // x = input + term 0 + term 1 + .., rounded after each operation; 1 to kMaxTermRows terms. Of
  // `rows` rows of n that follow each other everywhere but in the gates, which they share.
  void (*add_terms)(const float* input, const TermRow* terms, int count, float* x, int64_t n,
                    int64_t rows);
  // output = (x - mean) · inverse · (1 + scale) + shift.
  void (*modulate)(const float* x, float mean, float inverse, const float* scale,
                   const float* shift, Row output, int64_t n);
  // output = x · inverse · weight.
  void (*weigh)(const float* x, float inverse, const float* weight, Row output, int64_t n);
  // output = (x - mean) · factor + bias, and SiLU of it if asked; input and output are of
  // one type.
  void (*normalise)(ConstRow x, const float* mean, const float* factor, const float* bias,
                    bool silu, Row output, int64_t n);
  void (*silu)(const float* input, Row output, int64_t n);
  void (*gelu_tanh)(const float* input, Row output, int64_t n);
  void (*gated_gelu)(const float* gate, const float* value, Row output, int64_t n);
  void (*add)(const float* a, const float* b, float* output, int64_t n);
  // Either may be fp8; the output is then a whole row, and gets its scale.
  void (*convert)(ConstRow input, Row output, int64_t n);
  // x = input + weight · term, rounded after each operation; a null input is left out. The term may
  // be fp8.
  void (*add_weighted)(const float* input, float weight, ConstRow term, float* x, int64_t n);
  // output = 1 + (first + second).
  void (*entropy_base)(const float* first, const float* second, float* output, int64_t n);
  // scores = scores / norm + weight · counters.
  void (*finish_scores)(float* scores, float norm, float weight, const int32_t* counters,
                        int64_t n);
  // v = unconditional + guidance (conditional - unconditional); latent += v · delta.
  void (*guided_euler)(float* latent, const float* conditional, const float* unconditional,
                       float guidance, float delta, int64_t n);
  // output = unconditional + guidance (conditional - unconditional).
  void (*guide)(const float* conditional, const float* unconditional, float guidance, float* output,
                int64_t n);
  // output = Σ weights · terms, in order; 1 to 6 of them.
  void (*weighted_sum)(const float* weights, const float* const* terms, int count, float* output,
                       int64_t n);
  // latent += exp(½ (f high + (1 - f) low)) · noise, f = (v + 1) / 2.
  void (*variance_noise)(float* latent, const float* v, const float* noise, float low, float high,
                         int64_t n);
  // latent = (1 - t) latent + t noise.
  void (*renoise)(float* latent, const float* noise, float t, int64_t n);
  // differences[0]' = fresh, differences[i + 1]' = (differences[i]' - differences[i]) · scale.
  void (*update_differences)(const float* fresh, float* const* differences, int count, float scale,
                             int64_t n);
  void (*rgb8)(const float* input, uint8_t* output, int64_t n);
  // even[i] = input[2i], odd[i] = input[2i + 1]; all of one type.
  void (*split_pairs)(ConstRow input, Row even, Row odd, int64_t n);
};

// Sums in an order that depends on the length and the instruction set alone.
struct ReductionKernels {
  double (*sum)(const float* x, int64_t n);
  // Of (x - centre)².
  double (*squares)(const float* x, float centre, int64_t n);
  // Products and sums in double. Either may be fp8.
  double (*dot)(ConstRow a, ConstRow b, int64_t n);
  // sums = {Σ |a - b|, Σ |b|}, differences and sums in double.
  void (*absolute_change)(const float* a, const float* b, int64_t n, double* sums);
  // Σ |a - b|, in float.
  double (*distance)(const float* a, const float* b, int64_t n);
  // Adds x and x² of `pixels` rows of `channels` to sums[channels] and squares[channels], in
  // double.
  void (*channel_moments)(ConstRow x, int64_t pixels, int64_t channels, double* sums,
                          double* squares);
};

namespace baseline {
extern const PointwiseKernels kPointwiseKernels;
extern const ReductionKernels kReductionKernels;
}  // namespace baseline
namespace avx2 {
extern const PointwiseKernels kPointwiseKernels;
extern const ReductionKernels kReductionKernels;
}  // namespace avx2
namespace avx512 {
extern const PointwiseKernels kPointwiseKernels;
extern const ReductionKernels kReductionKernels;
}  // namespace avx512

// The elements of an fp32, bf16 or fp8 tensor from `element` on, as far as the row of the last axis
// goes where it has a scale.
ConstRow row_of(const ConstTensorView& tensor, int64_t element);
Row row_of(const TensorView& tensor, int64_t element);

const PointwiseKernels& pointwise_kernels(Isa isa);
const ReductionKernels& reduction_kernels(Isa isa);

}  // namespace engine::cpu
