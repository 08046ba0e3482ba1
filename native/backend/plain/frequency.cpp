// Fourier series as they are defined: one frequency after the other, in double.
#include <cmath>
#include <complex>
#include <numbers>
#include <vector>

#include "backend/plain/operations.h"
#include "backend/shapes.h"

namespace engine::plain {

namespace {

// Adds frequency (i, j) of the plane to `sum`.
void add_frequency(const float* plane, int64_t height, int64_t width, int64_t i, int64_t j,
                   std::vector<double>& sum) {
  const auto phase = [&](int64_t at) {
    const auto row = static_cast<double>(at / width), column = static_cast<double>(at % width);
    return 2 * std::numbers::pi *
           (static_cast<double>(i) * row / static_cast<double>(height) +
            static_cast<double>(j) * column / static_cast<double>(width));
  };
  std::complex<double> coefficient = 0;
  for (int64_t at = 0; at < height * width; ++at) {
    coefficient += std::polar(static_cast<double>(plane[at]), -phase(at));
  }
  coefficient /= static_cast<double>(height * width);
  for (int64_t at = 0; at < height * width; ++at) {
    sum[static_cast<size_t>(at)] += std::real(coefficient * std::polar(1.0, phase(at)));
  }
}

}  // namespace

void low_pass(const LowPassArgs& args) {
  check_args(args);
  const int64_t height = args.input.dim(1), width = args.input.dim(2), pixels = height * width;
  const int64_t radius = args.radius;
  for (int64_t plane = 0; plane < args.input.dim(0); ++plane) {
    std::vector<double> sum(static_cast<size_t>(pixels), 0.0);
    for (int64_t i = -radius; i <= radius; ++i) {
      for (int64_t j = -radius; j <= radius; ++j) {
        if (i * i + j * j > radius * radius) continue;
        add_frequency(args.input.f32() + plane * pixels, height, width, i, j, sum);
      }
    }
    for (int64_t at = 0; at < pixels; ++at) {
      args.output.f32()[plane * pixels + at] = static_cast<float>(sum[static_cast<size_t>(at)]);
    }
  }
}

}  // namespace engine::plain
