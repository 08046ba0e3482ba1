// The residual stream on the CPU.
#pragma once

#include "backend/cpu/context.h"
#include "backend/cpu/row_kernels.h"
#include "backend/residual.h"

namespace engine::cpu {

// Whether a token of a batch row lies in a noisy frame.
bool is_noisy(const FrameMask& frames, int64_t row, int64_t token);

// The terms of a residual sum, ready to be added to one token after the other.
class ResidualTerms {
 public:
  ResidualTerms(const CpuContext& context, const std::array<ResidualTerm, kMaxResidualTerms>& terms,
                int count, const FrameMask& frames, int64_t tokens, int64_t channels);

  int count() const { return count_; }
  bool is_noisy(int64_t row, int64_t token) const { return cpu::is_noisy(frames_, row, token); }
  // x = input + term 0 + term 1 + .. of `count` tokens of a batch row from `token` on, [count,
  // channels], all in noisy frames or all in clean ones; x may be input. Needs count() > 0.
  void add_to(const float* input, int64_t row, int64_t token, float* x, int64_t count = 1) const;
  // How many tokens from `token` on, and before `end`, lie in frames alike.
  int64_t alike(int64_t row, int64_t token, int64_t end) const;
  // Bytes that add_to reads of the terms for one token.
  int64_t bytes_each() const;

 private:
  const PointwiseKernels& kernels_;
  const std::array<ResidualTerm, kMaxResidualTerms>& terms_;
  const FrameMask& frames_;
  int count_;
  int64_t tokens_;
  int64_t channels_;
};

void residual_add(const CpuContext& context, const ResidualAddArgs& args);

}  // namespace engine::cpu
