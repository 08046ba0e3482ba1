// How a feature changed: sums over pieces of fixed size, added up in the order of the pieces, so
// that no bit depends on the number of threads. Bound by memory.
#include "backend/cpu/change.h"

#include <algorithm>
#include <utility>

#include "backend/cpu/parallel.h"
#include "backend/cpu/row_kernels.h"
#include "backend/cpu/scratch.h"
#include "backend/shapes.h"

namespace engine::cpu {

namespace {

// Two of them stay in the first-level cache.
constexpr int64_t kPiece = 4096;

// One row of the last axis, in the memory of three floats for each channel.
void update_row(const PointwiseKernels& kernels, const UpdateDifferencesArgs& args, int64_t first,
                int64_t channels, float* memory) {
  float* value = memory;
  float* next = memory + channels;
  float* const before = memory + 2 * channels;
  kernels.convert({args.fresh.f32() + first}, {value}, channels);
  for (int order = 0; order < args.count; ++order) {
    const TensorView& kept = args.differences[static_cast<size_t>(order)];
    const bool goes_on = order + 1 < args.count;
    if (goes_on) kernels.convert(row_of(ConstTensorView(kept), first), {before}, channels);
    kernels.convert({value}, row_of(kept, first), channels);
    if (!goes_on) continue;
    const std::array<float*, 2> two{before, next};
    kernels.update_differences(value, two.data(), 2, args.inverse_distance, channels);
    std::swap(value, next);
  }
}

// Differences of several types, or with scales.
void update_rows(const CpuContext& context, const UpdateDifferencesArgs& args) {
  if (args.fresh.elements() == 0) return;
  const int64_t channels = args.fresh.dim(args.fresh.shape().rank() - 1);
  const size_t part_bytes = static_cast<size_t>(3 * channels) * sizeof(float);
  const Scratch scratch(0, static_cast<size_t>(context.threads), part_bytes);
  parallel_ranges(
      context, args.fresh.elements() / channels, 8 * args.count * channels,
      [&](int64_t begin, int64_t end) {
        auto* const memory =
            reinterpret_cast<float*>(scratch.part(static_cast<size_t>(omp_get_thread_num())));
        for (int64_t row = begin; row < end; ++row) {
          update_row(pointwise_kernels(context.isa), args, row * channels, channels, memory);
        }
      });
}

}  // namespace

void relative_l1(const CpuContext& context, const RelativeL1Args& args) {
  check_args(args);
  const int64_t rows = args.a.dim(0), width = args.a.elements() / std::max<int64_t>(1, rows);
  const int64_t pieces = (width + kPiece - 1) / kPiece;
  const Scratch scratch(static_cast<size_t>(rows * pieces) * 2 * sizeof(double), 0, 0);
  auto* const parts = reinterpret_cast<double*>(scratch.shared());
  parallel_ranges(context, rows * pieces, kPiece * 8, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      const int64_t within = part % pieces * kPiece, first = part / pieces * width + within;
      reduction_kernels(context.isa)
          .absolute_change(args.a.f32() + first, args.b.f32() + first,
                           std::min(kPiece, width - within), parts + 2 * part);
    }
  });
  auto* const sums = static_cast<double*>(args.sums.data());
  std::fill_n(sums, 2 * rows, 0.0);
  for (int64_t part = 0; part < rows * pieces; ++part) {
    sums[part / pieces * 2] += parts[2 * part];
    sums[part / pieces * 2 + 1] += parts[2 * part + 1];
  }
}

void update_differences(const CpuContext& context, const UpdateDifferencesArgs& args) {
  check_args(args);
  const auto* const last = args.differences.begin() + args.count;
  if (std::any_of(args.differences.begin(), last,
                  [](const TensorView& kept) { return kept.dtype() != DType::kF32; })) {
    return update_rows(context, args);
  }
  parallel_ranges(context, args.fresh.elements(), 8 * args.count, [&](int64_t begin, int64_t end) {
    std::array<float*, kMaxDifferenceOrders + 1> differences{};
    for (size_t i = 0; i < static_cast<size_t>(args.count); ++i) {
      differences[i] = args.differences[i].f32() + begin;
    }
    pointwise_kernels(context.isa)
        .update_differences(args.fresh.f32() + begin, differences.data(), args.count,
                            args.inverse_distance, end - begin);
  });
}

}  // namespace engine::cpu
