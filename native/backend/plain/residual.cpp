// x += gate ⊙ F in float: a multiplication, then an addition, term by term. Every backend gives
// these very bits.
#include "backend/plain/element.h"
#include "backend/plain/operations.h"
#include "backend/shapes.h"

namespace engine::plain {

bool is_noisy(const FrameMask& frames, int64_t row, int64_t token) {
  if (frames.noisy.empty()) return true;
  const int64_t frame = token / frames.tokens_per_frame;
  return frames.noisy.u8()[row * frames.noisy.dim(1) + frame] != 0;
}

float residual_value(float x, const std::array<ResidualTerm, kMaxResidualTerms>& terms, int count,
                     bool noisy, int64_t row, int64_t element, int64_t channel) {
  for (int i = 0; i < count; ++i) {
    const ResidualTerm& term = terms[static_cast<size_t>(i)];
    const RowVectors& gate = noisy ? term.gate : term.gate_clean;
    const bool swapped = !noisy && !term.clean_feature.empty();
    const float feature = load(swapped ? term.clean_feature : term.feature, element);
    x += gate.data == nullptr ? feature : gate.data[row * gate.row_stride + channel] * feature;
  }
  return x;
}

void residual_add(const ResidualAddArgs& args) {
  check_args(args);
  const int64_t tokens = args.residual.dim(1), channels = args.residual.dim(2);
  const int64_t count = args.indices.empty() ? tokens : args.indices.dim(1);
  for (int64_t b = 0; b < args.residual.dim(0); ++b) {
    for (int64_t k = 0; k < count; ++k) {
      const int64_t n = args.indices.empty() ? k : args.indices.i32()[b * count + k];
      const bool noisy = is_noisy(args.frames, b, n);
      for (int64_t c = 0; c < channels; ++c) {
        const int64_t element = (b * tokens + n) * channels + c;
        float& x = args.residual.f32()[element];
        x = residual_value(x, args.terms, args.count, noisy, b, element, c);
      }
    }
  }
}

}  // namespace engine::plain
