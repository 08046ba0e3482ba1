#include "cache/trunk_cache.h"

#include "core/check.h"

namespace engine {

namespace {

Shape one(const TrunkCacheShape& s) {
  return {s.rows, s.tokens, s.channels};
}

// The residual of a step is made beside the one kept where both are wanted at once.
bool has_own_residual(const CacheNeeds& needs) {
  return needs.trunk == TrunkKept::kResidual && (needs.trunk_orders > 0 || needs.changes.residual);
}

DType kept_dtype(const CacheNeeds& needs) {
  return needs.rounds_trunk() ? needs.dtype : DType::kF32;
}

Shape scales_shape(const TrunkCacheShape& s) {
  return {s.needs.trunk_orders + 1, s.rows, s.tokens};
}

bool measures_stream(const ChangeNeeds& changes) {
  return changes.modulated_input || changes.input || changes.front || changes.residual ||
         changes.output;
}

// a = x - a
void subtract_from(Backend& backend, ConstTensorView x, TensorView a) {
  WeightedSumArgs sum;
  sum.terms[0] = {1.0f, x};
  sum.terms[1] = {-1.0f, a};
  sum.count = 2;
  sum.output = a;
  backend.weighted_sum(sum);
}

void copy(Backend& backend, ConstTensorView from, TensorView to) {
  backend.convert({.input = from, .output = to});
}

}  // namespace

TrunkCache::TrunkCache(Backend& backend, const TrunkCacheShape& shape)
    : backend_(backend), shape_(shape) {
  const CacheNeeds& needs = shape.needs;
  check(!needs.changes.residual ||
            (needs.trunk == TrunkKept::kResidual && kept_dtype(needs) == DType::kF32),
        "only a residual that is kept in fp32 can be compared");
  if (measures_stream(needs.changes)) meter_.emplace(backend, shape.rows);
  if (needs.changes.modulated_input) modulated_ = Remembered(backend, one(shape));
  if (needs.changes.input) input_ = Remembered(backend, one(shape));
  if (needs.changes.output) output_ = Remembered(backend, one(shape));
  if (needs.changes.front) {
    front_ = Remembered(backend, one(shape));
    front_now_ = backend.allocate(one(shape), DType::kF32);
  }
  if (needs.trunk == TrunkKept::kNothing) return;
  const DType dtype = kept_dtype(needs);
  differences_ =
      backend.allocate({needs.trunk_orders + 1, shape.rows, shape.tokens, shape.channels}, dtype);
  if (dtype == DType::kF8) scales_ = backend.allocate(scales_shape(shape), DType::kF32);
  kept_ = {differences_.view().data(), dtype, differences_.shape(),
           scales_.empty() ? nullptr : scales_.f32()};
  if (has_own_residual(needs)) residual_ = backend.allocate(one(shape), DType::kF32);
}

uint64_t TrunkCache::bytes_of(const TrunkCacheShape& shape) {
  const CacheNeeds& needs = shape.needs;
  const auto elements = static_cast<uint64_t>(one(shape).elements());
  const int tensors = (needs.changes.modulated_input ? 1 : 0) + (needs.changes.input ? 1 : 0) +
                      (needs.changes.output ? 1 : 0) + (needs.changes.front ? 2 : 0) +
                      (has_own_residual(needs) ? 1 : 0);
  uint64_t total = static_cast<uint64_t>(tensors) * elements * sizeof(float);
  if (needs.trunk != TrunkKept::kNothing) {
    const DType dtype = kept_dtype(needs);
    total += static_cast<uint64_t>(needs.trunk_orders + 1) * elements * dtype_bytes(dtype);
    if (dtype == DType::kF8) {
      total += static_cast<uint64_t>(scales_shape(shape).elements()) * sizeof(float);
    }
  }
  return total + (measures_stream(needs.changes) ? ChangeMeter::bytes_of(shape.rows) : 0);
}

void TrunkCache::begin_clip() {
  history_ = {};
  for (Remembered* const each : {&modulated_, &input_, &output_, &front_}) each->forget();
}

std::optional<Change> TrunkCache::follow(Remembered& last, ConstTensorView now) {
  if (last.empty()) return std::nullopt;
  const std::optional<Change> change = last.compare(*meter_, now);
  last.remember(backend_, now);
  return change;
}

std::optional<Change> TrunkCache::modulated_input(ConstTensorView modulated) {
  return follow(modulated_, modulated);
}

std::optional<Change> TrunkCache::begin_step(ConstTensorView x) {
  if (!front_now_.empty()) copy(backend_, x, front_now_);
  return follow(input_, x);
}

std::optional<Change> TrunkCache::reach_span(ConstTensorView x) {
  if (front_now_.empty()) return std::nullopt;
  subtract_from(backend_, x, front_now_);
  return front_.compare(*meter_, front_now_);
}

TensorView TrunkCache::pending() const {
  return residual_.empty() ? kept_.rows(0, 1).reshaped(one(shape_)) : residual_;
}

void TrunkCache::run(ConstTensorView x) {
  if (!front_now_.empty()) front_.remember(backend_, front_now_);
  if (keeps_residual()) copy(backend_, x, pending());
}

std::optional<Change> TrunkCache::ran(int step, ConstTensorView x) {
  if (shape_.needs.trunk == TrunkKept::kNothing) return std::nullopt;
  std::optional<Change> change;
  if (keeps_residual()) {
    subtract_from(backend_, x, pending());
    if (shape_.needs.changes.residual && history_.refreshes > 0) {
      change = meter_->measure(residual_, kept_.rows(0, 1).reshaped(one(shape_)));
    }
  }
  if (keeps_residual() && residual_.empty()) {
    history_ = {.refreshes = history_.refreshes + 1, .last_step = step};
  } else {
    const ConstTensorView fresh = keeps_residual() ? ConstTensorView(residual_) : x;
    update_differences(backend_, fresh, kept_, history_, step);
  }
  return change;
}

void TrunkCache::stand_in(int step, TrunkDecision decision, TensorView x) {
  check(decision != TrunkDecision::kRun && !differences_.empty(),
        "nothing is kept that could stand in for the trunk");
  const ConstTensorView base = keeps_residual() ? ConstTensorView(x) : ConstTensorView();
  const bool reuse = decision == TrunkDecision::kReuse;
  // Without its higher orders a forecast is what was kept.
  const ConstTensorView kept = kept_;
  forecast(backend_, reuse ? kept.rows(0, 1) : kept, history_, step, base, x);
}

std::optional<Change> TrunkCache::end_step(ConstTensorView x) {
  if (output_.empty()) return std::nullopt;
  const std::optional<Change> change = output_.compare_back(*meter_, x);
  output_.remember(backend_, x);
  return change;
}

}  // namespace engine
