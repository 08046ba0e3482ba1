// Philox4x32-10 and the draws from it. Logarithm, sine and cosine are our own series in double:
// libm picks its code by CPU, and a last bit that differs there would make another clip of the same
// seed. Here every operation is an IEEE +, *, / or sqrt, so the bits are the same on every machine.
#include "core/philox.h"

#include <bit>
#include <cmath>

namespace engine {
namespace {

constexpr uint32_t kMultiplier0 = 0xd2511f53u;
constexpr uint32_t kMultiplier1 = 0xcd9e8d57u;
constexpr uint32_t kWeyl0 = 0x9e3779b9u;  // golden ratio
constexpr uint32_t kWeyl1 = 0xbb67ae85u;  // sqrt(3) - 1
constexpr int kRounds = 10;

std::array<uint32_t, 4> block_of(uint64_t seed, uint64_t stream, uint64_t block) {
  return philox4x32({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                     static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)},
                    {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
}

// In (0, 1): the middle of one of 2^32 equal cells.
double open_uniform(uint32_t bits) {
  return (static_cast<double>(bits) + 0.5) * 0x1p-32;
}

// ln(x) of a normal x > 0: x = m 2^e with m in [sqrt(1/2), sqrt(2)), ln m = 2 atanh((m-1)/(m+1)).
// The series is cut at s^15, |s| < 0.1716: below 1e-14.
double natural_log(double x) {
  constexpr uint64_t kSqrtHalf = 0x3fe6a09e667f3bcdu;
  const uint64_t offset = std::bit_cast<uint64_t>(x) - kSqrtHalf;
  const auto exponent = static_cast<double>(static_cast<int64_t>(offset) >> 52);
  const double m = std::bit_cast<double>((offset & 0xfffffffffffffu) + kSqrtHalf);
  const double s = (m - 1.0) / (m + 1.0);
  const double s2 = s * s;
  double sum = 1.0 / 15;
  sum = sum * s2 + 1.0 / 13;
  sum = sum * s2 + 1.0 / 11;
  sum = sum * s2 + 1.0 / 9;
  sum = sum * s2 + 1.0 / 7;
  sum = sum * s2 + 1.0 / 5;
  sum = sum * s2 + 1.0 / 3;
  sum = sum * s2 + 1.0;
  return exponent * 0.6931471805599453 + 2.0 * s * sum;
}

struct SinCos {
  double sine;
  double cosine;
};

// Sine and cosine of 2 pi u for u in (0, 1): the nearest quarter turn is taken off exactly, the
// rest (at most pi/4) goes through Taylor series cut below 1e-13.
SinCos sin_cos_turn(double u) {
  const int quarter = static_cast<int>(u * 4.0 + 0.5);
  const double x = (u - quarter * 0.25) * 6.283185307179586;
  const double x2 = x * x;
  double sine = 1.0 / 6227020800;
  sine = sine * x2 - 1.0 / 39916800;
  sine = sine * x2 + 1.0 / 362880;
  sine = sine * x2 - 1.0 / 5040;
  sine = sine * x2 + 1.0 / 120;
  sine = sine * x2 - 1.0 / 6;
  sine = x + x * x2 * sine;
  double cosine = -1.0 / 87178291200;
  cosine = cosine * x2 + 1.0 / 479001600;
  cosine = cosine * x2 - 1.0 / 3628800;
  cosine = cosine * x2 + 1.0 / 40320;
  cosine = cosine * x2 - 1.0 / 720;
  cosine = cosine * x2 + 1.0 / 24;
  cosine = cosine * x2 - 0.5;
  cosine = 1.0 + x2 * cosine;
  const double swapped_sine = (quarter & 1) != 0 ? cosine : sine;
  const double swapped_cosine = (quarter & 1) != 0 ? -sine : cosine;
  const double sign = (quarter & 2) != 0 ? -1.0 : 1.0;
  return {sign * swapped_sine, sign * swapped_cosine};
}

// Box and Muller 1958: words 0 and 1 give values 0 and 1 of the block, words 2 and 3 the others.
std::array<float, 4> normals_of(const std::array<uint32_t, 4>& words) {
  std::array<float, 4> values{};
  for (size_t pair = 0; pair < 4; pair += 2) {
    const double radius = std::sqrt(-2.0 * natural_log(open_uniform(words[pair])));
    const SinCos turn = sin_cos_turn(open_uniform(words[pair + 1]));
    values[pair] = static_cast<float>(radius * turn.cosine);
    values[pair + 1] = static_cast<float>(radius * turn.sine);
  }
  return values;
}

std::array<float, 4> uniforms_of(const std::array<uint32_t, 4>& words) {
  std::array<float, 4> values{};
  for (size_t i = 0; i < 4; ++i) values[i] = static_cast<float>(words[i] >> 8) * 0x1p-24f;
  return values;
}

// Value n of a stream is value n % 4 of its block n / 4.
template <typename ValuesOf>
void fill(std::span<float> out, uint64_t seed, uint64_t stream, uint64_t first,
          ValuesOf values_of) {
  size_t done = 0;
  while (done < out.size()) {
    const uint64_t index = first + done;
    const std::array<float, 4> values = values_of(block_of(seed, stream, index / 4));
    for (size_t lane = index % 4; lane < 4 && done < out.size(); ++lane) out[done++] = values[lane];
  }
}

}  // namespace

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t product0 = uint64_t{kMultiplier0} * counter[0];
    const uint64_t product1 = uint64_t{kMultiplier1} * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<uint32_t>(product0)};
    key = {key[0] + kWeyl0, key[1] + kWeyl1};
  }
  return counter;
}

void fill_normal(std::span<float> out, uint64_t seed, uint64_t stream, uint64_t first) {
  fill(out, seed, stream, first, normals_of);
}

void fill_uniform(std::span<float> out, uint64_t seed, uint64_t stream, uint64_t first) {
  fill(out, seed, stream, first, uniforms_of);
}

}  // namespace engine
