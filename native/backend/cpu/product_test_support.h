// What the tests of linear, convolution and attention share: random tensors, contexts of every
// instruction set that this machine has, and measures of difference.
#pragma once

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "backend/cpu/context.h"
#include "core/tensor.h"

namespace engine::cpu {

inline Tensor random_tensor(Shape shape, DType dtype, uint32_t seed, float spread = 1.0f) {
  Tensor tensor(shape, dtype);
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, spread);
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    const float value = normal(generator);
    if (dtype == DType::kBF16) {
      tensor.view().bf16()[i] = bf16_from_float(value);
    } else {
      tensor.f32()[i] = value;
    }
  }
  return tensor;
}

// Every instruction set of this machine on `threads` threads, AVX-512 also without native bf16, and
// as where bf16 is multiplied in tiles: what such a CPU runs, another runs too.
inline std::vector<CpuContext> contexts(int threads) {
  std::vector<CpuContext> all;
  for (const Isa isa : available_isas()) {
    all.push_back({.threads = threads, .isa = isa, .bf16_native = false});
    if (isa == Isa::kAvx512 && cpu_has_bf16()) {
      all.push_back({.threads = threads, .isa = isa, .bf16_native = true});
      all.push_back({.threads = threads, .isa = isa, .bf16_native = true, .bf16_tiles = true});
    }
  }
  return all;
}

inline std::string describe(const CpuContext& context) {
  return std::string(isa_name(context.isa)) + (context.bf16_native ? " bf16" : "") +
         (context.bf16_tiles ? " tiles" : "") + ", " + std::to_string(context.threads) + " threads";
}

// The largest |a - b| / (1 + |b|).
inline double largest_error(ConstTensorView a, ConstTensorView b) {
  const Tensor left = to_f32(a), right = to_f32(b);
  double largest = 0.0;
  for (int64_t i = 0; i < left.elements(); ++i) {
    const double expected = static_cast<double>(right.f32()[i]);
    const double error = std::abs(static_cast<double>(left.f32()[i]) - expected);
    if (!(error <= largest * (1.0 + std::abs(expected))))
      largest = error / (1.0 + std::abs(expected));
  }
  return largest;
}

inline bool same_bits(ConstTensorView a, ConstTensorView b) {
  return a.bytes() == b.bytes() && std::memcmp(a.data(), b.data(), a.bytes()) == 0;
}

}  // namespace engine::cpu
