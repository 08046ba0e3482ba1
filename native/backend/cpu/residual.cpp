// x += gate ⊙ F. Rows of x stay in the first-level cache while the terms stream past, so memory is
// read and written once however many terms are folded; bound by memory.
#include "backend/cpu/residual.h"

#include <algorithm>

#include "backend/cpu/parallel.h"
#include "backend/shapes.h"

namespace engine::cpu {

static_assert(kMaxResidualTerms == kMaxTermRows);

ResidualTerms::ResidualTerms(const CpuContext& context,
                             const std::array<ResidualTerm, kMaxResidualTerms>& terms, int count,
                             const FrameMask& frames, int64_t tokens, int64_t channels)
    : kernels_(pointwise_kernels(context.isa)),
      terms_(terms),
      frames_(frames),
      count_(count),
      tokens_(tokens),
      channels_(channels) {}

bool is_noisy(const FrameMask& frames, int64_t row, int64_t token) {
  if (frames.noisy.empty()) return true;
  const int64_t frame = token / frames.tokens_per_frame;
  return frames.noisy.u8()[row * frames.noisy.dim(1) + frame] != 0;
}

void ResidualTerms::add_to(const float* input, int64_t row, int64_t token, float* x,
                           int64_t count) const {
  const bool noisy = is_noisy(row, token);
  const int64_t element = (row * tokens_ + token) * channels_;
  std::array<TermRow, kMaxResidualTerms> rows;
  for (int i = 0; i < count_; ++i) {
    const ResidualTerm& term = terms_[static_cast<size_t>(i)];
    const bool swapped = !noisy && !term.clean_feature.empty();
    const RowVectors& gate = noisy ? term.gate : term.gate_clean;
    rows[static_cast<size_t>(i)] = {
        .feature = row_of(swapped ? term.clean_feature : term.feature, element),
        .gate = gate.data == nullptr ? nullptr : gate.data + row * gate.row_stride};
  }
  kernels_.add_terms(input, rows.data(), count_, x, channels_, count);
}

int64_t ResidualTerms::alike(int64_t row, int64_t token, int64_t end) const {
  if (frames_.noisy.empty()) return end - token;
  const int64_t frame_tokens = frames_.tokens_per_frame;
  int64_t last = token;
  while (last < end && is_noisy(row, last) == is_noisy(row, token)) {
    last = (last / frame_tokens + 1) * frame_tokens;
  }
  return std::min(last, end) - token;
}

int64_t ResidualTerms::bytes_each() const {
  return count_ * channels_ * static_cast<int64_t>(sizeof(float));
}

void residual_add(const CpuContext& context, const ResidualAddArgs& args) {
  check_args(args);
  if (args.count == 0) return;
  const int64_t tokens = args.residual.dim(1), channels = args.residual.dim(2);
  const int64_t count = args.indices.empty() ? tokens : args.indices.dim(1);
  const ResidualTerms terms(context, args.terms, args.count, args.frames, tokens, channels);
  const int64_t row_bytes = channels * static_cast<int64_t>(sizeof(float));
  parallel_ranges(context, args.residual.dim(0) * count, 2 * row_bytes + terms.bytes_each(),
                  [&](int64_t begin, int64_t end) {
                    for (int64_t r = begin, run = 1; r < end; r += run) {
                      const int64_t row = r / count;
                      int64_t token = r % count;
                      if (args.indices.empty()) {
                        run = terms.alike(row, token, std::min(tokens, token + end - r));
                      } else {
                        token = args.indices.i32()[r];
                      }
                      float* x = args.residual.f32() + (row * tokens + token) * channels;
                      terms.add_to(x, row, token, x, run);
                    }
                  });
}

}  // namespace engine::cpu
