// Group norm in two halves, for whoever applies it to pixels elsewhere than in place: what the sums
// make of it, and its application.
#pragma once

#include <vector>

#include "backend/cpu/context.h"
#include "backend/cpu/row_kernels.h"
#include "backend/norm.h"

namespace engine::cpu {

class GroupNormFactors {
 public:
  // Sums up the input; the output is not touched.
  GroupNormFactors(const CpuContext& context, const GroupNormArgs& args);

  int64_t pixels() const { return pixels_; }  // of one norm
  // Of `count` pixels of norm `index`, one after the other; `to` may be `from`.
  void apply(int64_t index, ConstRow from, Row to, int64_t count) const;

 private:
  struct Sums;

  int64_t row() const { return fold_ * channels_; }
  void sum_slab(int64_t first, int64_t slab, Sums& sums) const;
  void finish_group(int64_t index, int64_t group, const Sums& sums);

  const CpuContext& context_;
  const GroupNormArgs& args_;
  int64_t channels_;
  int64_t pixels_;
  int64_t fold_;         // pixels in a kernel row
  int64_t slab_pixels_;  // of all slabs but the last
  int64_t slabs_;
  std::vector<float> mean_, factor_, bias_;  // [norms, fold, channels]
};

}  // namespace engine::cpu
