// Layer norm with modulation, RMS norm and group norm.
#include <cmath>
#include <vector>

#include "backend/plain/element.h"
#include "backend/plain/operations.h"
#include "backend/shapes.h"

namespace engine::plain {

namespace {

struct Moments {
  double mean;
  double variance;  // biased
};

Moments moments_of(const std::vector<float>& values) {
  double sum = 0.0;
  for (const float value : values) sum += static_cast<double>(value);
  const double count = static_cast<double>(values.size());
  const double mean = sum / count;
  double squares = 0.0;
  for (const float value : values) {
    squares += (static_cast<double>(value) - mean) * (static_cast<double>(value) - mean);
  }
  return {mean, squares / count};
}

void normalise_token(const LayerNormModulateArgs& args, int64_t row, int64_t token,
                     int64_t output_row, std::vector<float>& values) {
  const int64_t channels = args.input.dim(2);
  const bool noisy = is_noisy(args.frames, row, token);
  const RowVectors& shift = noisy ? args.shift : args.shift_clean;
  const RowVectors& scale = noisy ? args.scale : args.scale_clean;
  for (int64_t c = 0; c < channels; ++c) {
    const int64_t element = (row * args.input.dim(1) + token) * channels + c;
    values[static_cast<size_t>(c)] = residual_value(args.input.f32()[element], args.pending,
                                                    args.pending_count, noisy, row, element, c);
    if (!args.settled.empty()) args.settled.f32()[element] = values[static_cast<size_t>(c)];
  }
  const Moments moments = moments_of(values);
  const double inverse = 1.0 / std::sqrt(moments.variance + static_cast<double>(args.eps));
  for (int64_t c = 0; c < channels; ++c) {
    const double normalised =
        (static_cast<double>(values[static_cast<size_t>(c)]) - moments.mean) * inverse;
    const double factor = 1.0 + static_cast<double>(scale.data[row * scale.row_stride + c]);
    store(args.output, output_row * channels + c,
          normalised * factor + static_cast<double>(shift.data[row * shift.row_stride + c]));
  }
}

}  // namespace

void layer_norm_modulate(const LayerNormModulateArgs& args) {
  check_args(args);
  const int64_t rows = args.output.dim(1);
  std::vector<float> values(static_cast<size_t>(args.input.dim(2)));
  for (int64_t b = 0; b < args.input.dim(0); ++b) {
    for (int64_t k = 0; k < rows; ++k) {
      const int64_t token = args.indices.empty() ? k : args.indices.i32()[b * rows + k];
      normalise_token(args, b, token, b * rows + k, values);
    }
  }
}

void rms_norm(const RmsNormArgs& args) {
  check_args(args);
  const int64_t channels = args.input.dim(1);
  for (int64_t r = 0; r < args.input.dim(0); ++r) {
    const float* input = args.input.f32() + r * channels;
    double squares = 0.0;
    for (int64_t c = 0; c < channels; ++c) {
      squares += static_cast<double>(input[c]) * static_cast<double>(input[c]);
    }
    const double inverse =
        1.0 / std::sqrt(squares / static_cast<double>(channels) + static_cast<double>(args.eps));
    for (int64_t c = 0; c < channels; ++c) {
      store(args.output, r * channels + c,
            static_cast<double>(args.weight.f32()[c]) * static_cast<double>(input[c]) * inverse);
    }
  }
}

void group_norm(const GroupNormArgs& args) {
  check_args(args);
  const int64_t channels = args.input.dim(3);
  const int64_t pixels = args.frames_per_norm * args.input.dim(1) * args.input.dim(2);
  const int64_t width = channels / args.groups;
  std::vector<float> values(static_cast<size_t>(pixels * width));
  for (int64_t first = 0; first < args.input.elements(); first += pixels * channels) {
    for (int64_t g = 0; g < args.groups; ++g) {
      const auto element = [&](int64_t i) {
        return first + i / width * channels + g * width + i % width;
      };
      for (int64_t i = 0; i < pixels * width; ++i) {
        values[static_cast<size_t>(i)] = load(args.input, element(i));
      }
      const Moments moments = moments_of(values);
      const double inverse = 1.0 / std::sqrt(moments.variance + static_cast<double>(args.eps));
      for (int64_t i = 0; i < pixels * width; ++i) {
        const int64_t c = g * width + i % width;
        const double normalised =
            (static_cast<double>(values[static_cast<size_t>(i)]) - moments.mean) * inverse;
        const double value = normalised * static_cast<double>(args.weight.f32()[c]) +
                             static_cast<double>(args.bias.f32()[c]);
        store(args.output, element(i), args.silu ? activated(value, Activation::kSilu) : value);
      }
    }
  }
}

}  // namespace engine::plain
