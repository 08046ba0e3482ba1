#include "models/transformer/position_table.h"

#include <cmath>

namespace engine {

namespace {

constexpr double kMaxPeriod = 10000.0;

// One axis: [sin | cos], `width` values, of a coordinate.
void encode_axis(double coordinate, int64_t width, float* out) {
  const int64_t half = width / 2;
  for (int64_t k = 0; k < half; ++k) {
    const double exponent = static_cast<double>(k) / static_cast<double>(half);
    const double angle = coordinate / std::pow(kMaxPeriod, exponent);
    out[k] = static_cast<float>(std::sin(angle));
    out[half + k] = static_cast<float>(std::cos(angle));
  }
}

// In float32, as the published code has it.
double coordinate(int64_t index, int64_t size, const PositionSettings& settings) {
  const auto stretch =
      static_cast<float>(static_cast<double>(size) / static_cast<double>(settings.base));
  return static_cast<double>(static_cast<float>(index) / stretch /
                             static_cast<float>(settings.scale));
}

}  // namespace

Tensor position_table(const PositionSettings& settings) {
  const int64_t half = settings.hidden / 2;
  Tensor table({settings.height * settings.width, settings.hidden}, DType::kF32);
  for (int64_t row = 0; row < settings.height; ++row) {
    for (int64_t column = 0; column < settings.width; ++column) {
      float* const out = table.f32() + (row * settings.width + column) * settings.hidden;
      encode_axis(coordinate(column, settings.width, settings), half, out);
      encode_axis(coordinate(row, settings.height, settings), half, out + half);
    }
  }
  return table;
}

}  // namespace engine
