// Updates of the latent, one frame of one channel after the other.
#include "backend/cpu/sampler.h"

#include <algorithm>
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

// Elements that are added up on the stack before they go to the output, which may be a term.
constexpr int64_t kSumElements = 1024;

// Elements [first, first + count), which lie in one row of the last axis.
void sum_in_pieces(const PointwiseKernels& kernels, const WeightedSumArgs& args, int64_t first,
                   int64_t count) {
  alignas(64) float sums[kSumElements];
  for (int64_t done = 0; done < count; done += kSumElements) {
    const int64_t at = first + done, piece = std::min(kSumElements, count - done);
    for (int i = 0; i < args.count; ++i) {
      const WeightedTerm& term = args.terms[static_cast<size_t>(i)];
      kernels.add_weighted(i == 0 ? nullptr : sums, term.weight, row_of(term.tensor, at), sums,
                           piece);
    }
    std::memcpy(args.output.f32() + at, sums, static_cast<size_t>(piece) * sizeof(float));
  }
}

// Terms of several types.
void weighted_sum_of_rows(const CpuContext& context, const WeightedSumArgs& args) {
  if (args.output.elements() == 0) return;
  const PointwiseKernels& kernels = pointwise_kernels(context.isa);
  const int64_t channels = args.output.dim(args.output.shape().rank() - 1);
  parallel_ranges(context, args.output.elements() / channels, channels * 16,
                  [&](int64_t begin, int64_t end) {
                    for (int64_t row = begin; row < end; ++row) {
                      sum_in_pieces(kernels, args, row * channels, channels);
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
  const auto* const last = args.terms.begin() + args.count;
  if (std::any_of(args.terms.begin(), last,
                  [](const WeightedTerm& term) { return term.tensor.dtype() != DType::kF32; })) {
    return weighted_sum_of_rows(context, args);
  }
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
