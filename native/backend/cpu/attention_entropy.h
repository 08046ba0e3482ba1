// The entropy of a query's attention to a text (attention.h), for kernel sources alone.
#pragma once

#include "backend/cpu/float_vector.h"

namespace engine::cpu::TOCAFARM_ISA {

namespace {

// -Σ a ln(a + 1e-7), a = sum over heads · factor. Whole exponents and mantissas of the logarithm
// are summed apart in fp32 lanes, the lanes in double: the error is that of the fp32 probabilities.
TOCAFARM_INLINE float half_entropy_of(const float* summed, int64_t keys, float factor) {
  Vec exponents{}, mantissas{};
  for (int64_t j = 0; j < keys; j += kLanes) {
    const Vec a = load(summed + j) * factor;
    const LogParts log = log_parts(a + 1e-7f);
    exponents = fma(a, log.exponent, exponents);
    mantissas = fma(a, log.mantissa, mantissas);
  }
  float lanes[2][kLanes];
  store(lanes[0], exponents);
  store(lanes[1], mantissas);
  double exponent = 0.0, mantissa = 0.0;
  for (int i = 0; i < kLanes; ++i) {
    exponent += static_cast<double>(lanes[0][i]);
    mantissa += static_cast<double>(lanes[1][i]);
  }
  return static_cast<float>(-(exponent * 0.69314718055994530942 + mantissa));
}

}  // namespace
}  // namespace engine::cpu::TOCAFARM_ISA
