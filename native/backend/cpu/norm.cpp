// Layer norm with modulation, RMS norm and group norm. Bound by memory: each row is read from
// memory once, summed, centred and written while it is in the cache.
#include "backend/cpu/norm.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/cpu/parallel.h"
#include "backend/cpu/residual.h"
#include "backend/cpu/row_kernels.h"
#include "backend/shapes.h"
#include "engine/error.h"

namespace engine::cpu {

namespace {

// A row with pending terms is built on the stack: 64 KiB, eight times the width of STDiT3-3B.
constexpr int64_t kMaxPendingChannels = 16 * 1024;

// LN and modulation of one token whose residual sum is x.
void modulate_token(const CpuContext& context, const LayerNormModulateArgs& args, bool noisy,
                    int64_t row, const float* x, int64_t output_row) {
  const ReductionKernels& reductions = reduction_kernels(context.isa);
  const int64_t channels = args.input.dim(2);
  const double count = static_cast<double>(channels);
  const float mean = static_cast<float>(reductions.sum(x, channels) / count);
  const double variance = reductions.squares(x, mean, channels) / count;
  const double inverse = 1.0 / std::sqrt(variance + static_cast<double>(args.eps));
  const RowVectors& scale = noisy ? args.scale : args.scale_clean;
  const RowVectors& shift = noisy ? args.shift : args.shift_clean;
  pointwise_kernels(context.isa)
      .modulate(x, mean, static_cast<float>(inverse), scale.data + row * scale.row_stride,
                shift.data + row * shift.row_stride, row_of(args.output, output_row * channels),
                channels);
}

}  // namespace

void layer_norm_modulate(const CpuContext& context, const LayerNormModulateArgs& args) {
  check_args(args);
  const int64_t tokens = args.input.dim(1), channels = args.input.dim(2);
  const int64_t rows = args.output.dim(1);
  if (args.pending_count > 0 && channels > kMaxPendingChannels) {
    throw Error(ErrorCode::kUnsupported, "layer_norm_modulate: " + std::to_string(channels) +
                                             " channels; the CPU backend takes at most " +
                                             std::to_string(kMaxPendingChannels));
  }
  const ResidualTerms pending(context, args.pending, args.pending_count, args.frames, tokens,
                              channels);
  const int64_t row_bytes = channels * static_cast<int64_t>(sizeof(float));
  const auto work = [&](int64_t begin, int64_t end) {
    alignas(64) float sums[kMaxPendingChannels];
    for (int64_t r = begin; r < end; ++r) {
      const int64_t row = r / rows;
      const int64_t token = args.indices.empty() ? r % rows : args.indices.i32()[r];
      const int64_t element = (row * tokens + token) * channels;
      const float* x = args.input.f32() + element;
      if (pending.count() > 0) {
        float* const sum = args.settled.empty() ? sums : args.settled.f32() + element;
        pending.add_to(x, row, token, sum);
        x = sum;
      } else if (!args.settled.empty() && args.settled.data() != args.input.data()) {
        std::copy_n(x, channels, args.settled.f32() + element);
      }
      modulate_token(context, args, pending.is_noisy(row, token), row, x, r);
    }
  };
  parallel_ranges(context, args.input.dim(0) * rows, 2 * row_bytes + pending.bytes_each(), work);
}

void rms_norm(const CpuContext& context, const RmsNormArgs& args) {
  check_args(args);
  const int64_t channels = args.input.dim(1);
  const auto work = [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* x = args.input.f32() + r * channels;
      const double squares = reduction_kernels(context.isa).squares(x, 0.0f, channels);
      const double mean = squares / static_cast<double>(channels);
      const double inverse = 1.0 / std::sqrt(mean + static_cast<double>(args.eps));
      pointwise_kernels(context.isa)
          .weigh(x, static_cast<float>(inverse), args.weight.f32(),
                 row_of(args.output, r * channels), channels);
    }
  };
  parallel_ranges(context, args.input.dim(0), channels * 8, work);
}

}  // namespace engine::cpu
