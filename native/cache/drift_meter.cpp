#include "cache/drift_meter.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/check.h"

namespace engine {

namespace {

constexpr int kNever = -1;
// Sums side by side, added up in their order at the end of a row: fast on any instruction set, and
// the same bits on all.
constexpr size_t kLanes = 16;
using Lanes = std::array<float, kLanes>;

int64_t sample_rows(const DriftShape& shape) {
  return std::min(shape.rows, kDriftSampleRows);
}

Shape sample_shape(const DriftShape& shape) {
  return {1, sample_rows(shape), shape.channels};
}

double sum(const Lanes& lanes) {
  double total = 0;
  for (const float lane : lanes) total += static_cast<double>(lane);
  return total;
}

// Σ |fresh - kept| and Σ |fresh| of a row are added.
void add_row(const float* fresh, const float* kept, size_t channels, double& change, double& size) {
  Lanes changes{}, sizes{};
  size_t i = 0;
  for (; i + kLanes <= channels; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      changes[lane] += std::abs(fresh[i + lane] - kept[i + lane]);
      sizes[lane] += std::abs(fresh[i + lane]);
    }
  }
  for (size_t lane = 0; i < channels; ++i, ++lane) {
    changes[lane] += std::abs(fresh[i] - kept[i]);
    sizes[lane] += std::abs(fresh[i]);
  }
  change += sum(changes);
  size += sum(sizes);
}

}  // namespace

DriftMeter::DriftMeter(Backend& backend, const DriftShape& shape)
    : backend_(backend),
      shape_(shape),
      indices_(backend.allocate({1, sample_rows(shape)}, DType::kI32)),
      sample_(backend.allocate(sample_shape(shape), DType::kF32)),
      kept_(sample_shape(shape), DType::kF32),
      fresh_(sample_shape(shape), DType::kF32),
      last_reuse_(static_cast<size_t>(shape.modules), kNever) {
  const int64_t count = sample_rows(shape);
  Tensor indices({1, count}, DType::kI32);
  for (int64_t i = 0; i < count; ++i) {
    indices.view().i32()[i] = static_cast<int32_t>(i * shape.rows / count);
  }
  backend.upload(indices, indices_);
}

uint64_t DriftMeter::bytes_of(const DriftShape& shape) {
  const auto count = static_cast<uint64_t>(sample_rows(shape));
  return count * sizeof(int32_t) + count * static_cast<uint64_t>(shape.channels) * sizeof(float);
}

void DriftMeter::before(int64_t module, int step, Decision decision, ConstTensorView kept) {
  check(module >= 0 && module < shape_.modules, "module outside of the drift meter");
  int& last_reuse = last_reuse_[static_cast<size_t>(module)];
  measures_ = false;
  if (decision == Decision::kReuse || decision == Decision::kPartial) last_reuse = step;
  if (decision != Decision::kRefresh) return;
  // A reuse at a later step was another clip's.
  measures_ = last_reuse != kNever && last_reuse < step;
  last_reuse = kNever;
  if (measures_) sample(kept, kept_);
}

std::optional<double> DriftMeter::after(ConstTensorView fresh) {
  if (!measures_) return std::nullopt;
  measures_ = false;
  sample(fresh, fresh_);
  const auto channels = static_cast<size_t>(shape_.channels);
  double change = 0, size = 0;
  for (size_t row = 0; row < static_cast<size_t>(sample_rows(shape_)); ++row) {
    add_row(fresh_.f32() + row * channels, kept_.f32() + row * channels, channels, change, size);
  }
  if (size == 0) return std::nullopt;
  return change / size;
}

void DriftMeter::sample(ConstTensorView from, Tensor& host) {
  backend_.gather_rows({.input = from.reshaped({1, shape_.rows, shape_.channels}),
                        .indices = indices_,
                        .output = sample_});
  backend_.download(sample_, host);
}

}  // namespace engine
