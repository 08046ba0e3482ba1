#include "cache/change_meter.h"

namespace engine {

ChangeMeter::ChangeMeter(Backend& backend, int64_t rows)
    : backend_(backend),
      sums_(backend.allocate({rows, 2}, DType::kF64)),
      host_(Shape{rows, 2}, DType::kF64) {}

uint64_t ChangeMeter::bytes_of(int64_t rows) {
  return static_cast<uint64_t>(rows) * 2 * sizeof(double);
}

Change ChangeMeter::measure(ConstTensorView now, ConstTensorView before) {
  backend_.relative_l1({.a = now, .b = before, .sums = sums_});
  backend_.download(sums_, host_);
  const auto* const sums = static_cast<const double*>(host_.view().data());
  Change change;
  for (int64_t row = 0; row < host_.dim(0); ++row) {
    change.difference += sums[2 * row];
    change.reference += sums[2 * row + 1];
  }
  return change;
}

std::optional<Change> Remembered::compare(ChangeMeter& meter, ConstTensorView now) const {
  if (!known_) return std::nullopt;
  return meter.measure(now, last_);
}

std::optional<Change> Remembered::compare_back(ChangeMeter& meter, ConstTensorView now) const {
  if (!known_) return std::nullopt;
  return meter.measure(last_, now);
}

void Remembered::remember(Backend& backend, ConstTensorView now) {
  backend.convert({.input = now, .output = last_});
  known_ = true;
}

}  // namespace engine
