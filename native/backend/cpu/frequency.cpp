// A low-pass as a projection on real waves: with rows P of orthonormal cosines and sines over the
// height and Q over the width, low(x) = Pᵀ (mask ∘ (P x Qᵀ)) Q. The cosine and the sine of a
// frequency, and a frequency and its negative, are kept or dropped together, so that this is the
// disc of the complex series; but it is four small products of real matrices. One plane is the work
// of one thread: sums run in the order of the indices.
#include "backend/cpu/frequency.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "backend/cpu/parallel.h"
#include "backend/cpu/scratch.h"
#include "backend/shapes.h"

namespace engine::cpu {

namespace {

// The constant, then cosine and sine of each frequency.
int64_t waves_of(int64_t radius) {
  return 2 * radius + 1;
}
int64_t frequency_of(int64_t wave) {
  return (wave + 1) / 2;
}

// waves [2 radius + 1, length], orthonormal.
void fill_waves(int64_t length, int64_t radius, float* waves) {
  const auto size = static_cast<double>(length);
  for (int64_t wave = 0; wave < waves_of(radius); ++wave) {
    const int64_t frequency = frequency_of(wave);
    const double scale = std::sqrt((frequency == 0 ? 1.0 : 2.0) / size);
    for (int64_t at = 0; at < length; ++at) {
      // Whole periods are taken off while they are integers: the angle stays small and exact.
      const auto turned = static_cast<double>(frequency * at % length);
      const double angle = 2 * std::numbers::pi * turned / size;
      const double value = wave % 2 == 0 && wave > 0 ? std::sin(angle) : std::cos(angle);
      waves[wave * length + at] = static_cast<float>(scale * value);
    }
  }
}

// sums += factor · values
void add_scaled(float factor, const float* values, int64_t count, float* sums) {
  for (int64_t i = 0; i < count; ++i) sums[i] += factor * values[i];
}

struct Waves {
  int64_t height = 0, width = 0, radius = 0;
  const float* rows = nullptr;     // P [2 radius + 1, H]
  const float* columns = nullptr;  // Q [2 radius + 1, W]
};

// `kept` = the waves over the width that go with this frequency over the height, of `row` [W].
void keep_low(const Waves& waves, int64_t row_frequency, const float* row, float* kept) {
  std::fill_n(kept, waves.width, 0.0f);
  const int64_t limit = waves.radius * waves.radius - row_frequency * row_frequency;
  for (int64_t wave = 0; wave < waves_of(waves.radius); ++wave) {
    if (frequency_of(wave) * frequency_of(wave) > limit) break;
    const float* const column = waves.columns + wave * waves.width;
    float coefficient = 0;
    for (int64_t at = 0; at < waves.width; ++at) coefficient += row[at] * column[at];
    add_scaled(coefficient, column, waves.width, kept);
  }
}

// `memory` [2 W]
void filter_plane(const Waves& waves, const float* input, float* memory, float* output) {
  const int64_t height = waves.height, width = waves.width;
  float* const row = memory;
  float* const kept = memory + width;
  std::fill_n(output, height * width, 0.0f);
  for (int64_t wave = 0; wave < waves_of(waves.radius); ++wave) {
    const float* const weights = waves.rows + wave * height;
    std::fill_n(row, width, 0.0f);
    for (int64_t h = 0; h < height; ++h) add_scaled(weights[h], input + h * width, width, row);
    keep_low(waves, frequency_of(wave), row, kept);
    for (int64_t h = 0; h < height; ++h) add_scaled(weights[h], kept, width, output + h * width);
  }
}

}  // namespace

void low_pass(const CpuContext& context, const LowPassArgs& args) {
  check_args(args);
  const int64_t height = args.input.dim(1), width = args.input.dim(2), pixels = height * width;
  const int64_t count = waves_of(args.radius);
  const Scratch scratch(static_cast<size_t>(count * (height + width)) * sizeof(float),
                        static_cast<size_t>(context.threads),
                        static_cast<size_t>(2 * width) * sizeof(float));
  auto* const rows = reinterpret_cast<float*>(scratch.shared());
  float* const columns = rows + count * height;
  fill_waves(height, args.radius, rows);
  fill_waves(width, args.radius, columns);
  const Waves waves{
      .height = height, .width = width, .radius = args.radius, .rows = rows, .columns = columns};
  parallel_ranges(context, args.input.dim(0), pixels * count, [&](int64_t begin, int64_t end) {
    auto* const memory =
        reinterpret_cast<float*>(scratch.part(static_cast<size_t>(omp_get_thread_num())));
    for (int64_t plane = begin; plane < end; ++plane) {
      filter_plane(waves, args.input.f32() + plane * pixels, memory,
                   args.output.f32() + plane * pixels);
    }
  });
}

}  // namespace engine::cpu
