// Layouts of the VAE's frames: bytes are moved, nothing is computed; bound by memory.
#include "backend/cpu/layout.h"

#include <cstring>

#include "backend/cpu/parallel.h"
#include "backend/cpu/row_kernels.h"
#include "backend/shapes.h"

namespace engine::cpu {

void upsample_nearest(const CpuContext& context, const UpsampleNearestArgs& args) {
  check_args(args);
  const int64_t width = args.input.dim(2), channels = args.input.dim(3);
  const int64_t pixel_bytes = channels * static_cast<int64_t>(dtype_bytes(args.input.dtype()));
  const int64_t row_bytes = 2 * width * pixel_bytes;
  const auto* input = static_cast<const std::byte*>(args.input.data());
  auto* output = static_cast<std::byte*>(args.output.data());
  const auto work = [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const std::byte* from = input + row * width * pixel_bytes;
      std::byte* to = output + row * 2 * row_bytes;
      for (int64_t pixel = 0; pixel < 2 * width; ++pixel) {
        std::memcpy(to + pixel * pixel_bytes, from + pixel / 2 * pixel_bytes,
                    static_cast<size_t>(pixel_bytes));
      }
      std::memcpy(to + row_bytes, to, static_cast<size_t>(row_bytes));
    }
  };
  parallel_ranges(context, args.input.dim(0) * args.input.dim(1), width * channels * 20, work);
}

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
