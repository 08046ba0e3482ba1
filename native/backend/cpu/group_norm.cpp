// Group norm over channels-last frames: a pass that sums, a pass that applies. Bound by memory: two
// reads and one write of the tensor.
//
// Sums of x and x² run in double, whose 53 bits leave the variance exact to float even where the
// mean is a thousand times the deviation. Pixels are cut into slabs whose number depends on the
// shape alone, so the order of the sums does not depend on the threads. Several pixels together
// are one row of the kernels where there are few channels.
#include "backend/cpu/group_norm.h"

#include <algorithm>
#include <cmath>

#include "backend/cpu/norm.h"
#include "backend/cpu/parallel.h"
#include "backend/shapes.h"

namespace engine::cpu {

namespace {

constexpr int64_t kSlabs = 64;          // most threads that can share a norm
constexpr int64_t kSmallestSlab = 256;  // pixels
constexpr int64_t kShortestRow = 64;    // channels of a kernel row

size_t to_size(int64_t count) {
  return static_cast<size_t>(count);
}

}  // namespace

struct GroupNormFactors::Sums {
  std::vector<double> values, squares;  // [slabs, fold, channels]
};

GroupNormFactors::GroupNormFactors(const CpuContext& context, const GroupNormArgs& args)
    : context_(context),
      args_(args),
      channels_(args.input.dim(3)),
      pixels_(args.frames_per_norm * args.input.dim(1) * args.input.dim(2)),
      fold_((kShortestRow + channels_ - 1) / channels_),
      slab_pixels_(std::max(kSmallestSlab, (pixels_ + kSlabs - 1) / kSlabs)),
      slabs_((pixels_ + slab_pixels_ - 1) / slab_pixels_) {
  const int64_t norms = args.input.dim(0) / args.frames_per_norm;
  for (std::vector<float>* values : {&mean_, &factor_, &bias_}) {
    values->resize(to_size(norms * row()));
  }
  Sums sums{.values = std::vector<double>(to_size(slabs_ * row())),
            .squares = std::vector<double>(to_size(slabs_ * row()))};
  for (int64_t index = 0; index < norms; ++index) {
    std::fill(sums.values.begin(), sums.values.end(), 0.0);
    std::fill(sums.squares.begin(), sums.squares.end(), 0.0);
    const int64_t first = index * pixels_ * channels_;
    parallel_ranges(context_, slabs_, slab_pixels_ * channels_ * 4,
                    [&](int64_t begin, int64_t end) {
                      for (int64_t slab = begin; slab < end; ++slab) sum_slab(first, slab, sums);
                    });
    for (int64_t group = 0; group < args_.groups; ++group) finish_group(index, group, sums);
  }
}

// Of the norm whose first element is `first`.
void GroupNormFactors::sum_slab(int64_t first, int64_t slab, Sums& sums) const {
  const ReductionKernels& kernels = reduction_kernels(context_.isa);
  const int64_t pixel = slab * slab_pixels_;
  const int64_t count = std::min(slab_pixels_, pixels_ - pixel);
  const int64_t rows = count / fold_, rest = count % fold_;
  double* values = sums.values.data() + slab * row();
  double* squares = sums.squares.data() + slab * row();
  const int64_t from = first + pixel * channels_;
  kernels.channel_moments(row_of(args_.input, from), rows, row(), values, squares);
  if (rest > 0) {
    kernels.channel_moments(row_of(args_.input, from + rows * row()), 1, rest * channels_, values,
                            squares);
  }
}

void GroupNormFactors::finish_group(int64_t index, int64_t group, const Sums& sums) {
  const int64_t width = channels_ / args_.groups;
  double sum = 0.0, square = 0.0;
  for (int64_t pixel = 0; pixel < slabs_ * fold_; ++pixel) {
    for (int64_t c = group * width; c < (group + 1) * width; ++c) {
      sum += sums.values[to_size(pixel * channels_ + c)];
      square += sums.squares[to_size(pixel * channels_ + c)];
    }
  }
  const double count = static_cast<double>(pixels_ * width);
  const double mean = sum / count;
  const double variance = std::max(square / count - mean * mean, 0.0);
  const double inverse = 1.0 / std::sqrt(variance + static_cast<double>(args_.eps));
  for (int64_t pixel = 0; pixel < fold_; ++pixel) {
    for (int64_t c = group * width; c < (group + 1) * width; ++c) {
      const size_t at = to_size(index * row() + pixel * channels_ + c);
      mean_[at] = static_cast<float>(mean);
      factor_[at] = static_cast<float>(inverse * static_cast<double>(args_.weight.f32()[c]));
      bias_[at] = args_.bias.f32()[c];
    }
  }
}

void GroupNormFactors::apply(int64_t index, ConstRow from, Row to, int64_t count) const {
  const PointwiseKernels& kernels = pointwise_kernels(context_.isa);
  const int64_t element_bytes = from.type == RowType::kBF16 ? 2 : 4;
  const auto factors = to_size(index * row());
  for (int64_t done = 0; done < count * channels_; done += row()) {
    const int64_t offset = done * element_bytes;
    kernels.normalise(
        {.data = static_cast<const std::byte*>(from.data) + offset, .type = from.type},
        mean_.data() + factors, factor_.data() + factors, bias_.data() + factors, args_.silu,
        {.data = static_cast<std::byte*>(to.data) + offset, .type = to.type},
        std::min(row(), count * channels_ - done));
  }
}

void group_norm(const CpuContext& context, const GroupNormArgs& args) {
  check_args(args);
  if (args.input.elements() == 0) return;
  const GroupNormFactors factors(context, args);
  const int64_t channels = args.input.dim(3), each = factors.pixels();
  const auto work = [&](int64_t begin, int64_t end) {
    for (int64_t first = begin; first < end;) {
      const int64_t index = first / each;
      const int64_t count = std::min(end, (index + 1) * each) - first;
      factors.apply(index, row_of(args.input, first * channels),
                    row_of(args.output, first * channels), count);
      first += count;
    }
  };
  parallel_ranges(context, args.input.elements() / channels, channels * 8, work);
}

}  // namespace engine::cpu
