// How the unconditional half of the guidance pair differs from the conditional one, in low and in
// high spatial frequencies: with it the one is restored from the other at steps that compute the
// conditional half alone (FasterCache, arXiv 2410.19355). It belongs to one attempt on one device.
#pragma once

#include "backend/backend.h"
#include "cache/cache_policy.h"

namespace engine {

// The guided part of what a model predicts: as many channels as the latent has. What it predicts
// besides (a variance) samplers take from the conditional half.
struct GuidanceShape {
  int64_t clips = 1;
  int64_t rows = 2;  // 2 · clips: the conditional half, then the other; clips: no guidance
  int64_t channels = 0, frames = 0, height = 0, width = 0;  // of the latent
};

class GuidanceCache {
 public:
  // Allocates bytes_of(policy, shape) on the device; the policy must outlive the object. Throws
  // Error(kOutOfMemory), or Error(kInvalidArgument) for a policy that needs guidance where there is
  // none.
  GuidanceCache(Backend& backend, const CachePolicy& policy, const GuidanceShape& shape);
  // 0 for a policy that always computes both halves.
  static uint64_t bytes_of(const CachePolicy& policy, const GuidanceShape& shape);

  // A new clip: nothing is known of it.
  void begin_clip() { known_ = false; }
  // Rows that the step computes: all, or the conditional half.
  int64_t rows(int step) const;
  // After these rows are computed. predicted [rows, Cout >= channels, frames, height, width], fp32:
  // the channels of the unconditional half are restored where it was not computed, and its
  // differences kept where the next step needs them.
  void complete(int step, TensorView predicted);

 private:
  // low(x): what x has of frequencies up to a fifth of its smaller side.
  // D_low = low(u) - low(c), D_high = (u - low(u)) - (c - low(c))
  void keep(ConstTensorView predicted);
  // u = c + low_weight · D_low + high_weight · D_high
  void restore(const GuidanceDecision& weights, TensorView predicted);
  // A clip's part of low_ or high_, [channels · frames, height, width].
  TensorView of_clip(const Tensor& kept, int64_t clip) const;

  Backend& backend_;
  const CachePolicy& policy_;
  GuidanceShape shape_;
  Tensor low_, high_;  // [clips · channels · frames, height, width]
  bool known_ = false;
};

}  // namespace engine
