// Activations, sums and conversions.
#include <cmath>
#include <numbers>
#include <vector>

#include "backend/plain/element.h"
#include "backend/plain/operations.h"
#include "backend/shapes.h"

namespace engine::plain {

double activated(double value, Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return value;
    case Activation::kSilu:
      return value / (1.0 + std::exp(-value));
    case Activation::kGeluTanh: {
      // 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x³))): Hendrycks and Gimpel, arXiv 1606.08415.
      const double slope = std::numbers::sqrt2 * std::numbers::inv_sqrtpi;
      return 0.5 * value * (1.0 + std::tanh(slope * (value + 0.044715 * value * value * value)));
    }
  }
  return value;
}

void activate(const ActivateArgs& args) {
  check_args(args);
  for (int64_t i = 0; i < args.input.elements(); ++i) {
    store(args.output, i, activated(static_cast<double>(args.input.f32()[i]), args.activation));
  }
}

void gated_gelu(const GatedGeluArgs& args) {
  check_args(args);
  for (int64_t i = 0; i < args.gate.elements(); ++i) {
    const double gate = static_cast<double>(args.gate.f32()[i]);
    store(args.output, i,
          activated(gate, Activation::kGeluTanh) * static_cast<double>(args.value.f32()[i]));
  }
}

void add(const AddArgs& args) {
  check_args(args);
  for (int64_t i = 0; i < args.a.elements(); ++i) {
    args.output.f32()[i] = args.a.f32()[i] + args.b.f32()[i];
  }
}

void convert(const ConvertArgs& args) {
  check_args(args);
  if (args.input.elements() == 0) return;
  std::vector<float> values(static_cast<size_t>(args.input.dim(args.input.shape().rank() - 1)));
  const auto width = static_cast<int64_t>(values.size());
  for (int64_t row = 0; row * width < args.input.elements(); ++row) {
    for (int64_t i = 0; i < width; ++i) {
      values[static_cast<size_t>(i)] = load(args.input, row * width + i);
    }
    store_row(args.output, row, values);
  }
}

}  // namespace engine::plain
