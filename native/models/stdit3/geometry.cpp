#include "models/stdit3/geometry.h"

#include <cmath>

namespace engine {

namespace {

constexpr double kMaxPeriod = 10000.0;

int64_t patches(int64_t size, int64_t patch) {
  return (size + patch - 1) / patch;
}

// One axis: [sin | cos], `width` values, of a coordinate. Angles in float32 as the reference has
// them.
void encode_axis(float coordinate, int64_t width, float* out) {
  const int64_t half = width / 2;
  for (int64_t k = 0; k < half; ++k) {
    const double exponent = static_cast<double>(k) / static_cast<double>(half);
    const float angle = coordinate * static_cast<float>(1.0 / std::pow(kMaxPeriod, exponent));
    out[k] = std::sin(angle);
    out[half + k] = std::cos(angle);
  }
}

// i / scale · (base / size), in float32 as the reference has it.
float coordinate(int64_t index, double scale, double base, int64_t size) {
  return static_cast<float>(index) / static_cast<float>(scale) *
         static_cast<float>(base / static_cast<double>(size));
}

}  // namespace

TokenGrid token_grid(const STDiT3Config& config, int64_t latent_frames, int64_t latent_height,
                     int64_t latent_width) {
  return {.frames = patches(latent_frames, config.patch[0]),
          .height = patches(latent_height, config.patch[1]),
          .width = patches(latent_width, config.patch[2])};
}

Tensor position_table(const STDiT3Config& config, const TokenGrid& grid, double pixel_height,
                      double pixel_width) {
  // nearbyint rounds half to even, as Python's round does.
  const double base = std::nearbyint(std::sqrt(static_cast<double>(grid.tokens_per_frame())));
  const double scale =
      std::sqrt(pixel_height * pixel_width) / static_cast<double>(config.input_sq_size);
  const int64_t half = config.hidden / 2;
  Tensor table({grid.tokens_per_frame(), config.hidden}, DType::kF32);
  for (int64_t row = 0; row < grid.height; ++row) {
    for (int64_t column = 0; column < grid.width; ++column) {
      float* const out = table.f32() + (row * grid.width + column) * config.hidden;
      encode_axis(coordinate(column, scale, base, grid.width), half, out);
      encode_axis(coordinate(row, scale, base, grid.height), half, out + half);
    }
  }
  return table;
}

RotationTables rotation_tables(ConstTensorView frequencies, int64_t frames) {
  const int64_t pairs = frequencies.elements();
  RotationTables tables{Tensor({frames, pairs}, DType::kF32), Tensor({frames, pairs}, DType::kF32)};
  for (int64_t t = 0; t < frames; ++t) {
    for (int64_t i = 0; i < pairs; ++i) {
      const float angle = static_cast<float>(t) * frequencies.f32()[i];
      tables.cos.f32()[t * pairs + i] = std::cos(angle);
      tables.sin.f32()[t * pairs + i] = std::sin(angle);
    }
  }
  return tables;
}

Tensor rotation_frequencies(int64_t head_dim) {
  Tensor frequencies({head_dim / 2}, DType::kF32);
  for (int64_t i = 0; i < head_dim / 2; ++i) {
    const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(head_dim);
    frequencies.f32()[i] = static_cast<float>(1.0 / std::pow(kMaxPeriod, exponent));
  }
  return frequencies;
}

}  // namespace engine
