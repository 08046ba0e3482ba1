// Updates of the latent, one frame of one channel after the other.
#include "backend/cpu/sampler.h"

#include <cstring>

#include "backend/cpu/parallel.h"
#include "backend/cpu/row_kernels.h"
#include "backend/shapes.h"

namespace engine::cpu {

namespace {

// Calls work(b, c, t, first element) for each plane [H, W] of a latent [n, C, T, H, W] whose frame
// is marked; an empty mask marks all.
template <typename Work>
void for_planes(const CpuContext& context, const Shape& latent, const ConstTensorView& frames,
                Work work) {
  const int64_t channels = latent[1], times = latent[2], pixels = latent[3] * latent[4];
  parallel_ranges(context, latent[0] * channels * times, pixels * 16,
                  [&](int64_t begin, int64_t end) {
                    for (int64_t plane = begin; plane < end; ++plane) {
                      const int64_t t = plane % times, c = plane / times % channels;
                      const int64_t b = plane / times / channels;
                      if (!frames.empty() && frames.u8()[b * times + t] == 0) continue;
                      work(b, c, t, plane * pixels);
                    }
                  });
}

}  // namespace

void guided_euler(const CpuContext& context, const GuidedEulerArgs& args) {
  check_args(args);
  const Shape latent = args.latent.shape();
  const int64_t pixels = latent[3] * latent[4], channels = args.model_out.dim(1);
  for_planes(context, latent, args.update_frame,
             [&](int64_t b, int64_t c, int64_t t, int64_t first) {
               const auto model_out = [&](int64_t row) {
                 return args.model_out.f32() + ((row * channels + c) * latent[2] + t) * pixels;
               };
               pointwise_kernels(context.isa)
                   .guided_euler(args.latent.f32() + first, model_out(b), model_out(latent[0] + b),
                                 args.guidance, args.delta, pixels);
             });
}

void renoise_frames(const CpuContext& context, const RenoiseFramesArgs& args) {
  check_args(args);
  const Shape latent = args.latent.shape();
  for_planes(context, latent, args.frame, [&](int64_t, int64_t, int64_t, int64_t first) {
    pointwise_kernels(context.isa)
        .renoise(args.latent.f32() + first, args.noise.f32() + first, args.t,
                 latent[3] * latent[4]);
  });
}

void guided_noise(const CpuContext& context, const GuidedNoiseArgs& args) {
  check_args(args);
  const Shape noise = args.noise.shape();
  const int64_t plane = noise[2] * noise[3] * noise[4], channels = args.model_out.dim(1);
  parallel_ranges(context, noise[0] * noise[1], plane * 12, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t c = i % noise[1], b = i / noise[1];
      const auto model_out = [&](int64_t row) {
        return args.model_out.f32() + (row * channels + c) * plane;
      };
      float* const output = args.noise.f32() + i * plane;
      if (c < args.guided_channels) {
        pointwise_kernels(context.isa)
            .guide(model_out(b), model_out(noise[0] + b), args.guidance, output, plane);
      } else {
        std::memcpy(output, model_out(b), static_cast<size_t>(plane) * sizeof(float));
      }
    }
  });
}

void weighted_sum(const CpuContext& context, const WeightedSumArgs& args) {
  check_args(args);
  std::array<float, kMaxWeightedTerms> weights{};
  for (size_t i = 0; i < weights.size(); ++i) weights[i] = args.terms[i].weight;
  parallel_ranges(context, args.output.elements(), 16, [&](int64_t begin, int64_t end) {
    std::array<const float*, kMaxWeightedTerms> terms{};
    for (int i = 0; i < args.count; ++i) {
      terms[static_cast<size_t>(i)] = args.terms[static_cast<size_t>(i)].tensor.f32() + begin;
    }
    pointwise_kernels(context.isa)
        .weighted_sum(weights.data(), terms.data(), args.count, args.output.f32() + begin,
                      end - begin);
  });
}

void learned_variance_noise(const CpuContext& context, const LearnedVarianceNoiseArgs& args) {
  check_args(args);
  const Shape latent = args.latent.shape();
  const int64_t plane = latent[2] * latent[3] * latent[4], channels = latent[1];
  // A plane at a time: where a vector ends in it must not depend on the number of threads.
  parallel_ranges(context, latent[0] * channels, plane * 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t c = i % channels, b = i / channels;
      const float* const v = args.model_out.f32() + ((2 * b + 1) * channels + c) * plane;
      pointwise_kernels(context.isa)
          .variance_noise(args.latent.f32() + i * plane, v, args.noise.f32() + i * plane,
                          args.log_variance_min, args.log_variance_max, plane);
    }
  });
}

}  // namespace engine::cpu
