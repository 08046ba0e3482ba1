// Group norm over channels-last frames: a pass that sums, a pass that applies. Bound by memory: two
// reads and one write of the tensor.
//
// Sums of x and x² run in double, whose 53 bits leave the variance exact to float even where the
// mean is a thousand times the deviation. Pixels are cut into slabs whose number depends on the
// shape alone, so the order of the sums does not depend on the threads. Several pixels together
// are one row of the kernels where there are few channels.
#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/cpu/norm.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/row_kernels.h"
#include "backend/shapes.h"

namespace engine::cpu {

namespace {

constexpr int64_t kSlabs = 64;          // most threads that can share a norm
constexpr int64_t kSmallestSlab = 256;  // pixels
constexpr int64_t kShortestRow = 64;    // channels of a kernel row

class GroupNorm {
 public:
  GroupNorm(const CpuContext& context, const GroupNormArgs& args)
      : context_(context),
        args_(args),
        channels_(args.input.dim(3)),
        pixels_(args.frames_per_norm * args.input.dim(1) * args.input.dim(2)),
        fold_((kShortestRow + channels_ - 1) / channels_),
        slab_pixels_(std::max(kSmallestSlab, (pixels_ + kSlabs - 1) / kSlabs)),
        slabs_((pixels_ + slab_pixels_ - 1) / slab_pixels_),
        sums_(to_size(slabs_ * row())),
        squares_(to_size(slabs_ * row())),
        mean_(to_size(row())),
        factor_(to_size(row())),
        bias_(to_size(row())) {}

  // The frames of one norm, whose first element is `first`.
  void run(int64_t first) {
    std::fill(sums_.begin(), sums_.end(), 0.0);
    std::fill(squares_.begin(), squares_.end(), 0.0);
    parallel_ranges(context_, slabs_, slab_pixels_ * channels_ * 4,
                    [&](int64_t begin, int64_t end) {
                      for (int64_t slab = begin; slab < end; ++slab) sum_slab(first, slab);
                    });
    for (int64_t group = 0; group < args_.groups; ++group) finish_group(group);
    parallel_ranges(context_, (pixels_ + fold_ - 1) / fold_, row() * 8,
                    [&](int64_t begin, int64_t end) { apply(first, begin, end); });
  }

  int64_t pixels() const { return pixels_; }

 private:
  static size_t to_size(int64_t count) { return static_cast<size_t>(count); }
  int64_t row() const { return fold_ * channels_; }

  // Of the norm whose first element is `first`.
  void sum_slab(int64_t first, int64_t slab) {
    const ReductionKernels& kernels = reduction_kernels(context_.isa);
    const int64_t pixel = slab * slab_pixels_;
    const int64_t count = std::min(slab_pixels_, pixels_ - pixel);
    const int64_t rows = count / fold_, rest = count % fold_;
    double* sums = sums_.data() + slab * row();
    double* squares = squares_.data() + slab * row();
    const int64_t from = first + pixel * channels_;
    kernels.channel_moments(row_of(args_.input, from), rows, row(), sums, squares);
    if (rest > 0) {
      kernels.channel_moments(row_of(args_.input, from + rows * row()), 1, rest * channels_, sums,
                              squares);
    }
  }

  void finish_group(int64_t group) {
    const int64_t width = channels_ / args_.groups;
    double sum = 0.0, square = 0.0;
    for (int64_t pixel = 0; pixel < slabs_ * fold_; ++pixel) {
      for (int64_t c = group * width; c < (group + 1) * width; ++c) {
        sum += sums_[to_size(pixel * channels_ + c)];
        square += squares_[to_size(pixel * channels_ + c)];
      }
    }
    const double count = static_cast<double>(pixels_ * width);
    const double mean = sum / count;
    const double variance = std::max(square / count - mean * mean, 0.0);
    const double inverse = 1.0 / std::sqrt(variance + static_cast<double>(args_.eps));
    for (int64_t pixel = 0; pixel < fold_; ++pixel) {
      for (int64_t c = group * width; c < (group + 1) * width; ++c) {
        const size_t at = to_size(pixel * channels_ + c);
        mean_[at] = static_cast<float>(mean);
        factor_[at] = static_cast<float>(inverse * static_cast<double>(args_.weight.f32()[c]));
        bias_[at] = args_.bias.f32()[c];
      }
    }
  }

  // Kernel rows [begin, end) of the norm whose first element is `first`.
  void apply(int64_t first, int64_t begin, int64_t end) {
    const PointwiseKernels& kernels = pointwise_kernels(context_.isa);
    for (int64_t r = begin; r < end; ++r) {
      const int64_t element = first + r * row();
      const int64_t count = std::min(row(), pixels_ * channels_ - r * row());
      kernels.normalise(row_of(args_.input, element), mean_.data(), factor_.data(), bias_.data(),
                        args_.silu, row_of(args_.output, element), count);
    }
  }

  const CpuContext& context_;
  const GroupNormArgs& args_;
  int64_t channels_;
  int64_t pixels_;       // of one norm
  int64_t fold_;         // pixels in a kernel row
  int64_t slab_pixels_;  // of all slabs but the last
  int64_t slabs_;
  std::vector<double> sums_, squares_;       // [slabs, fold, channels]
  std::vector<float> mean_, factor_, bias_;  // [fold, channels]
};

}  // namespace

void group_norm(const CpuContext& context, const GroupNormArgs& args) {
  check_args(args);
  if (args.input.elements() == 0) return;
  GroupNorm norm(context, args);
  const int64_t each = norm.pixels() * args.input.dim(3);
  for (int64_t first = 0; first < args.input.elements(); first += each) norm.run(first);
}

}  // namespace engine::cpu
