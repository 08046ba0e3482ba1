#include "cache/guidance_cache.h"

#include <algorithm>

#include "core/check.h"
#include "engine/error.h"

namespace engine {

namespace {

// The published share of the smaller side that counts as low.
constexpr int64_t kRadiusDivisor = 5;

Shape planes_of(const GuidanceShape& s) {
  return {s.clips * s.channels * s.frames, s.height, s.width};
}

// output = a - b
void subtract(Backend& backend, ConstTensorView a, ConstTensorView b, TensorView output) {
  WeightedSumArgs sum;
  sum.terms[0] = {1.0f, a};
  sum.terms[1] = {-1.0f, b};
  sum.count = 2;
  sum.output = output;
  backend.weighted_sum(sum);
}

// What is guided of a row of a prediction, [channels · frames, height, width].
template <typename View>
View guided(View predicted, int64_t row, const GuidanceShape& s) {
  return predicted.rows(row, 1)
      .reshaped({predicted.dim(1) * s.frames, s.height, s.width})
      .rows(0, s.channels * s.frames);
}

}  // namespace

GuidanceCache::GuidanceCache(Backend& backend, const CachePolicy& policy,
                             const GuidanceShape& shape)
    : backend_(backend), policy_(policy), shape_(shape) {
  if (!policy.needs().guidance) return;
  if (shape.rows != 2 * shape.clips) {
    throw Error(ErrorCode::kInvalidArgument,
                "a policy that restores the unconditional half of the guidance pair needs "
                "guidance");
  }
  low_ = backend.allocate(planes_of(shape), DType::kF32);
  high_ = backend.allocate(planes_of(shape), DType::kF32);
}

uint64_t GuidanceCache::bytes_of(const CachePolicy& policy, const GuidanceShape& shape) {
  if (!policy.needs().guidance) return 0;
  return 2 * static_cast<uint64_t>(planes_of(shape).elements()) * sizeof(float);
}

int64_t GuidanceCache::rows(int step) const {
  return policy_.guidance(step).computed ? shape_.rows : shape_.clips;
}

void GuidanceCache::complete(int step, TensorView predicted) {
  const GuidanceDecision decision = policy_.guidance(step);
  if (!decision.computed) {
    restore(decision, predicted);
  } else if (!policy_.guidance(step + 1).computed) {
    keep(predicted);
  }
}

TensorView GuidanceCache::of_clip(const Tensor& kept, int64_t clip) const {
  const int64_t planes = shape_.channels * shape_.frames;
  return kept.view().rows(clip * planes, planes);
}

void GuidanceCache::keep(ConstTensorView predicted) {
  for (int64_t clip = 0; clip < shape_.clips; ++clip) {
    const TensorView low = of_clip(low_, clip), high = of_clip(high_, clip);
    subtract(backend_, guided(predicted, shape_.clips + clip, shape_),
             guided(predicted, clip, shape_), high);
    // The low-pass is linear: that of the difference is the difference of both halves'.
    backend_.low_pass({.input = high,
                       .radius = std::min(shape_.height, shape_.width) / kRadiusDivisor,
                       .output = low});
    subtract(backend_, high, low, high);
  }
  known_ = true;
}

void GuidanceCache::restore(const GuidanceDecision& weights, TensorView predicted) {
  check(known_, "nothing is kept that the unconditional half could be restored from");
  for (int64_t clip = 0; clip < shape_.clips; ++clip) {
    WeightedSumArgs sum;
    sum.terms[0] = {1.0f, guided(predicted, clip, shape_)};
    sum.terms[1] = {static_cast<float>(weights.low_weight), of_clip(low_, clip)};
    sum.terms[2] = {static_cast<float>(weights.high_weight), of_clip(high_, clip)};
    sum.count = 3;
    sum.output = guided(predicted, shape_.clips + clip, shape_);
    backend_.weighted_sum(sum);
  }
}

}  // namespace engine
