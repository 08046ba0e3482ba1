#include "cache/drift_meter.h"

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

Shape sample_shape(const DriftShape& shape) {
  return {1, drift_sample_rows(shape.rows), shape.channels};
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
    : shape_(shape),
      sample_(backend, shape.rows, shape.channels, drift_sample_rows(shape.rows)),
      kept_(sample_shape(shape), DType::kF32),
      fresh_(sample_shape(shape), DType::kF32),
      last_reuse_(static_cast<size_t>(shape.modules), kNever) {}

uint64_t DriftMeter::bytes_of(const DriftShape& shape) {
  return RowSample::bytes_of(shape.rows, shape.channels, drift_sample_rows(shape.rows));
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
  if (measures_) sample_.read(kept, kept_);
}

std::optional<double> DriftMeter::after(ConstTensorView fresh) {
  if (!measures_) return std::nullopt;
  measures_ = false;
  sample_.read(fresh, fresh_);
  const auto channels = static_cast<size_t>(shape_.channels);
  double change = 0, size = 0;
  for (size_t row = 0; row < static_cast<size_t>(sample_.count()); ++row) {
    add_row(fresh_.f32() + row * channels, kept_.f32() + row * channels, channels, change, size);
  }
  if (size == 0) return std::nullopt;
  return change / size;
}

}  // namespace engine
