// Layouts of the VAE's frames: bytes are moved, nothing is computed; bound by memory.
#include "backend/cpu/layout.h"

#include "backend/cpu/parallel.h"
#include "backend/cpu/row_kernels.h"
#include "backend/shapes.h"

namespace engine::cpu {

void channels_to_time(const CpuContext& context, const ChannelsToTimeArgs& args) {
  check_args(args);
  const int64_t pixels = args.input.dim(1) * args.input.dim(2), channels = args.output.dim(3);
  const auto work = [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t frame = row / pixels, pixel = row % pixels;
      const int64_t even = (2 * frame * pixels + pixel) * channels;
      pointwise_kernels(context.isa)
          .split_pairs(row_of(args.input, row * 2 * channels), row_of(args.output, even),
                       row_of(args.output, even + pixels * channels), channels);
    }
  };
  parallel_ranges(context, args.input.dim(0) * pixels, channels * 16, work);
}

// Pixels are outermost on both ways: one side is read or written in order, the other in as many
// streams as there are channels, which are few (latents and pictures).
void channels_last(const CpuContext& context, const ChannelsLastArgs& args) {
  check_args(args);
  const int64_t channels = args.input.dim(0);
  if (args.input.elements() == 0) return;
  const int64_t pixels = args.input.elements() / channels;
  const auto work = [&](int64_t begin, int64_t end) {
    for (int64_t c = 0; c < channels; ++c) {
      const float* from = args.input.f32() + c * pixels;
      const float scale = args.scale == nullptr ? 1.0f : args.scale[c];
      const float shift = args.shift == nullptr ? -0.0f : args.shift[c];  // x + -0 is x
      for (int64_t pixel = begin; pixel < end; ++pixel) {
        args.output.f32()[pixel * channels + c] = from[pixel] * scale + shift;
      }
    }
  };
  parallel_ranges(context, pixels, channels * 8, work);
}

void channels_first(const CpuContext& context, const ChannelsFirstArgs& args) {
  check_args(args);
  const int64_t channels = args.input.dim(3);
  if (args.input.elements() == 0) return;
  const int64_t pixels = args.input.elements() / channels;
  const auto work = [&](int64_t begin, int64_t end) {
    for (int64_t c = 0; c < channels; ++c) {
      float* to = args.output.f32() + c * pixels;
      for (int64_t pixel = begin; pixel < end; ++pixel) {
        to[pixel] = args.input.f32()[pixel * channels + c];
      }
    }
  };
  parallel_ranges(context, pixels, channels * 8, work);
}

void frames_to_rgb8(const CpuContext& context, const FramesToRgb8Args& args) {
  check_args(args);
  const int64_t row = args.input.dim(2) * 3;
  const auto work = [&](int64_t begin, int64_t end) {
    pointwise_kernels(context.isa)
        .rgb8(args.input.f32() + begin * row, args.output.u8() + begin * row, (end - begin) * row);
  };
  parallel_ranges(context, args.input.dim(0) * args.input.dim(1), row * 5, work);
}

}  // namespace engine::cpu
