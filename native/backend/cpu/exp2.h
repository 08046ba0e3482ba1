// Powers of two on AVX-512, for kernel sources alone.
#pragma once

#include "backend/cpu/float_vector.h"

namespace engine::cpu::TOCAFARM_ISA {

inline constexpr __mmask16 kAll = 0xffff;  // plain forms of some instructions trip GCC 12's warning

namespace {

// 2^x = 2^floor(x) · 2^r, r in [0, 1), by minimax polynomials found with Remez' exchange: relative
// error 1.5e-7, or 7.5e-5 where the result is rounded to bf16 (half a step of that is up to 4e-3).
// Right for infinities and NaN.
template <typename Output>
TOCAFARM_INLINE Vec exp2(Vec x) {
  constexpr int kFloor = 0x09;
  const Vec r = _mm512_maskz_reduce_ps(kAll, x, kFloor);
  Vec power;
  if constexpr (sizeof(Output) == sizeof(float)) {
    power = broadcast(0.00187757669f);
    power = fma(power, r, broadcast(0.00898933969f));
    power = fma(power, r, broadcast(0.0558263175f));
    power = fma(power, r, broadcast(0.240153611f));
    power = fma(power, r, broadcast(0.693153083f));
    power = fma(power, r, broadcast(0.99999994f));
  } else {
    power = broadcast(0.0780245215f);
    power = fma(power, r, broadcast(0.226067156f));
    power = fma(power, r, broadcast(0.695833564f));
    power = fma(power, r, broadcast(0.999925196f));
  }
  return _mm512_maskz_scalef_ps(kAll, power, x);
}

}  // namespace
}  // namespace engine::cpu::TOCAFARM_ISA
