// Scoring, choosing and moving tokens. Choosing is linear in the number of tokens: the K-th highest
// score is found digit by digit (radix select), then one pass writes indices and counters.
#include "backend/cpu/select.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "backend/cpu/parallel.h"
#include "backend/cpu/row_kernels.h"
#include "backend/shapes.h"

namespace engine::cpu {

namespace {

// Below these a norm counts as zero, as in the published code's normalisations.
constexpr double kSmallestScoreNorm = 1e-12;
constexpr double kSmallestTokenNorm = 1e-8;

// Numbers in the order of the scores: NaN lowest, -0 equal to +0.
uint32_t sort_key(float score) {
  if (std::isnan(score)) return 0;
  const uint32_t bits = std::bit_cast<uint32_t>(score == 0.0f ? 0.0f : score);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

struct Threshold {
  uint32_t key;      // of the lowest token chosen
  int64_t with_key;  // how many tokens of just this key are chosen
};

// The key of the `count`-th highest of `tokens` scores; count >= 1.
Threshold find_threshold(const float* scores, int64_t tokens, int64_t count) {
  constexpr std::array<int, 4> kShifts{21, 10, 0, 0};
  constexpr std::array<uint32_t, 3> kDigits{2048, 2048, 1024};
  uint32_t prefix = 0, known = 0;  // the key's upper bits, and which bits these are
  for (size_t digit = 0; digit < kDigits.size(); ++digit) {
    std::array<int64_t, 2048> tally{};
    for (int64_t n = 0; n < tokens; ++n) {
      const uint32_t key = sort_key(scores[n]);
      if ((key & known) == prefix) ++tally[(key >> kShifts[digit]) & (kDigits[digit] - 1)];
    }
    uint32_t value = kDigits[digit] - 1;
    while (tally[value] < count) count -= tally[value--];
    prefix |= value << kShifts[digit];
    known |= (kDigits[digit] - 1) << kShifts[digit];
  }
  return {prefix, count};
}

void select_row(const float* scores, int64_t tokens, int64_t count, int32_t* indices,
                int32_t* counters) {
  // No key reaches the threshold above all, so that with none to choose only counters change.
  Threshold threshold{UINT32_MAX, 0};
  if (count > 0) threshold = find_threshold(scores, tokens, count);
  for (int64_t n = 0; n < tokens; ++n) {
    const uint32_t key = sort_key(scores[n]);
    const bool tied = key == threshold.key && threshold.with_key > 0;
    if (key > threshold.key || tied) {
      if (tied) --threshold.with_key;
      *indices++ = static_cast<int32_t>(n);
      counters[n] = 0;
    } else {
      ++counters[n];
    }
  }
}

// The highest score of the block that begins at (top, left); the first of equals.
float* highest_of_cell(const SpreadScoresArgs& args, float* scores, int64_t top, int64_t left) {
  const int64_t bottom = std::min(top + args.cell, args.height);
  const int64_t right = std::min(left + args.cell, args.width);
  float* highest = scores + top * args.width + left;
  for (int64_t y = top; y < bottom; ++y) {
    for (float* score = scores + y * args.width + left; score < scores + y * args.width + right;
         ++score) {
      if (sort_key(*score) > sort_key(*highest)) highest = score;
    }
  }
  return highest;
}

// Base scores by norm or similarity of tokens [begin, end), counted over all batch rows.
void score_tokens(const CpuContext& context, const TokenScoresArgs& args, int64_t begin,
                  int64_t end) {
  const ReductionKernels& kernels = reduction_kernels(context.isa);
  const int64_t channels = args.input.dim(2);
  for (int64_t n = begin; n < end; ++n) {
    const ConstRow input = row_of(args.input, n * channels);
    const double norm = std::sqrt(kernels.dot(input, input, channels));
    if (args.score == TokenScore::kNorm) {
      args.scores.f32()[n] = static_cast<float>(norm);
      continue;
    }
    const ConstRow cached = row_of(args.cached, n * channels);
    const double cached_norm = std::sqrt(kernels.dot(cached, cached, channels));
    const double norms =
        std::max(norm, kSmallestTokenNorm) * std::max(cached_norm, kSmallestTokenNorm);
    const double cosine = kernels.dot(input, cached, channels) / norms;
    args.scores.f32()[n] = 1.0f - static_cast<float>(cosine);
  }
}

// Copies rows [begin, end): `place` gives the rows that one of them comes from and goes to.
template <typename Place>
void move_rows(const CpuContext& context, const ConstTensorView& input, const TensorView& output,
               int64_t rows, Place place) {
  const int64_t channels = input.dim(2);
  const bool same = input.dtype() == output.dtype() && input.dtype() != DType::kF8;
  const size_t row_bytes = static_cast<size_t>(channels) * dtype_bytes(input.dtype());
  const PointwiseKernels& kernels = pointwise_kernels(context.isa);
  parallel_ranges(context, rows, channels * 8, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const auto [source, target] = place(r);
      const ConstRow from = row_of(input, source * channels);
      const Row to = row_of(output, target * channels);
      if (same) {
        std::memcpy(to.data, from.data, row_bytes);
      } else {
        kernels.convert(from, to, channels);
      }
    }
  });
}

struct Move {
  int64_t source;
  int64_t target;
};

}  // namespace

void token_scores(const CpuContext& context, const TokenScoresArgs& args) {
  check_args(args);
  const int64_t batch = args.scores.dim(0), tokens = args.scores.dim(1);
  if (args.score == TokenScore::kNorm || args.score == TokenScore::kSimilarity) {
    parallel_ranges(context, batch * tokens, args.input.dim(2) * 8,
                    [&](int64_t begin, int64_t end) { score_tokens(context, args, begin, end); });
  }
  const PointwiseKernels& kernels = pointwise_kernels(context.isa);
  parallel_ranges(context, batch, tokens * 16, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      float* scores = args.scores.f32() + b * tokens;
      if (args.score == TokenScore::kEntropy) {
        const float* half = args.half_entropy.f32() + b % (batch / 2) * tokens;
        kernels.entropy_base(half, half + batch / 2 * tokens, scores, tokens);
      } else if (is_statistic(args.score)) {
        std::copy_n(args.statistic.f32() + b * tokens, tokens, scores);
      }
      const ConstRow row{scores};
      const double norm = args.score == TokenScore::kRandom
                              ? 1.0
                              : std::sqrt(reduction_kernels(context.isa).dot(row, row, tokens));
      kernels.finish_scores(scores, static_cast<float>(std::max(norm, kSmallestScoreNorm)),
                            args.staleness_weight, args.counters.i32() + b * tokens, tokens);
    }
  });
}

void value_scores(const CpuContext& context, const ValueScoresArgs& args) {
  check_args(args);
  const ReductionKernels& kernels = reduction_kernels(context.isa);
  const int64_t heads = args.qkv.dim(4), width = args.qkv.dim(5), channels = heads * width;
  parallel_ranges(context, args.scores.elements(), channels * 4, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      double score = 0.0;
      for (int64_t head = 0; head < heads; ++head) {
        const ConstRow value = row_of(args.qkv, (3 * n + 2) * channels + head * width);
        score += 1.0 - std::sqrt(kernels.dot(value, value, width));
      }
      args.scores.f32()[n] = static_cast<float>(score);
    }
  });
}

void spread_scores(const CpuContext& context, const SpreadScoresArgs& args) {
  check_args(args);
  const int64_t tokens = args.height * args.width;
  parallel_ranges(context, args.scores.dim(0), tokens * 16, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      float* const scores = args.scores.f32() + b * tokens;
      for (int64_t top = 0; top < args.height; top += args.cell) {
        for (int64_t left = 0; left < args.width; left += args.cell) {
          *highest_of_cell(args, scores, top, left) *= args.factor;
        }
      }
    }
  });
}

void select_tokens(const CpuContext& context, const SelectTokensArgs& args) {
  check_args(args);
  const int64_t tokens = args.scores.dim(1);
  const int64_t count = args.indices.empty() ? 0 : args.indices.dim(1);
  parallel_ranges(context, args.scores.dim(0), tokens * 64, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      int32_t* indices = count == 0 ? nullptr : args.indices.i32() + b * count;
      select_row(args.scores.f32() + b * tokens, tokens, count, indices,
                 args.counters.i32() + b * tokens);
    }
  });
}

void gather_rows(const CpuContext& context, const GatherRowsArgs& args) {
  check_args(args);
  const int64_t tokens = args.input.dim(1), count = args.indices.dim(1);
  move_rows(context, args.input, args.output, args.input.dim(0) * count, [&](int64_t r) {
    return Move{r / count * tokens + args.indices.i32()[r], r};
  });
}

void scatter_rows(const CpuContext& context, const ScatterRowsArgs& args) {
  check_args(args);
  const int64_t tokens = args.output.dim(1), count = args.indices.dim(1);
  move_rows(context, args.input, args.output, args.output.dim(0) * count, [&](int64_t r) {
    return Move{r, r / count * tokens + args.indices.i32()[r]};
  });
}

}  // namespace engine::cpu
