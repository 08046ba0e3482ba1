// Pointwise operations: ranges of elements between threads, bound by memory.
#include "backend/cpu/elementwise.h"

#include "backend/cpu/parallel.h"
#include "backend/cpu/row_kernels.h"
#include "backend/shapes.h"

namespace engine::cpu {

namespace {

// Elements that go to a thread together: whole cache lines of either dtype.
constexpr int64_t kPiece = 1024;

// Calls work(first, count) for ranges that together are [0, elements).
template <typename Work>
void for_pieces(const CpuContext& context, int64_t elements, Work work) {
  parallel_ranges(context, (elements + kPiece - 1) / kPiece, kPiece * 12,
                  [&](int64_t begin, int64_t end) {
                    const int64_t first = begin * kPiece;
                    const int64_t last = end * kPiece < elements ? end * kPiece : elements;
                    work(first, last - first);
                  });
}

// Rows with scales are done whole.
void convert_rows(const CpuContext& context, const ConvertArgs& args) {
  if (args.input.elements() == 0) return;
  const int64_t channels = args.input.dim(args.input.shape().rank() - 1);
  parallel_ranges(context, args.input.elements() / channels, channels * 5,
                  [&](int64_t begin, int64_t end) {
                    for (int64_t r = begin; r < end; ++r) {
                      pointwise_kernels(context.isa)
                          .convert(row_of(args.input, r * channels),
                                   row_of(args.output, r * channels), channels);
                    }
                  });
}

}  // namespace

void activate(const CpuContext& context, const ActivateArgs& args) {
  check_args(args);
  const PointwiseKernels& kernels = pointwise_kernels(context.isa);
  for_pieces(context, args.input.elements(), [&](int64_t first, int64_t count) {
    const float* from = args.input.f32() + first;
    const Row to = row_of(args.output, first);
    switch (args.activation) {
      case Activation::kNone:
        return kernels.convert({from}, to, count);
      case Activation::kSilu:
        return kernels.silu(from, to, count);
      case Activation::kGeluTanh:
        return kernels.gelu_tanh(from, to, count);
    }
  });
}

void gated_gelu(const CpuContext& context, const GatedGeluArgs& args) {
  check_args(args);
  for_pieces(context, args.gate.elements(), [&](int64_t first, int64_t count) {
    pointwise_kernels(context.isa)
        .gated_gelu(args.gate.f32() + first, args.value.f32() + first, row_of(args.output, first),
                    count);
  });
}

void add(const CpuContext& context, const AddArgs& args) {
  check_args(args);
  for_pieces(context, args.a.elements(), [&](int64_t first, int64_t count) {
    pointwise_kernels(context.isa)
        .add(args.a.f32() + first, args.b.f32() + first, args.output.f32() + first, count);
  });
}

void convert(const CpuContext& context, const ConvertArgs& args) {
  check_args(args);
  if (args.input.dtype() == DType::kF8 || args.output.dtype() == DType::kF8) {
    return convert_rows(context, args);
  }
  for_pieces(context, args.input.elements(), [&](int64_t first, int64_t count) {
    pointwise_kernels(context.isa)
        .convert(row_of(args.input, first), row_of(args.output, first), count);
  });
}

}  // namespace engine::cpu
