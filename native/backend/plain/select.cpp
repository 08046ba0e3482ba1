// Scores of tokens, the choice of the highest ones, and moving their rows.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "backend/plain/element.h"
#include "backend/plain/operations.h"
#include "backend/shapes.h"

namespace engine::plain {

namespace {

// Below these a norm counts as zero, as in the published code's normalisations.
constexpr double kSmallestScoreNorm = 1e-12;
constexpr double kSmallestTokenNorm = 1e-8;

float base_score(const TokenScoresArgs& args, int64_t row, int64_t token) {
  const int64_t batch = args.scores.dim(0), tokens = args.scores.dim(1);
  if (args.score == TokenScore::kEntropy) {
    const int64_t first = row % (batch / 2);
    const float* half = args.half_entropy.f32();
    return 1.0f + (half[first * tokens + token] + half[(first + batch / 2) * tokens + token]);
  }
  if (is_statistic(args.score)) return args.statistic.f32()[row * tokens + token];
  const int64_t channels = args.input.dim(2), begin = (row * tokens + token) * channels;
  double squares = 0.0, cached_squares = 0.0, product = 0.0;
  for (int64_t i = begin; i < begin + channels; ++i) {
    const double x = static_cast<double>(load(args.input, i));
    squares += x * x;
    if (args.score == TokenScore::kNorm) continue;
    const double y = static_cast<double>(load(args.cached, i));
    cached_squares += y * y;
    product += x * y;
  }
  if (args.score == TokenScore::kNorm) return static_cast<float>(std::sqrt(squares));
  const double norms = std::max(std::sqrt(squares), kSmallestTokenNorm) *
                       std::max(std::sqrt(cached_squares), kSmallestTokenNorm);
  return 1.0f - static_cast<float>(product / norms);
}

float load_row(const ConstTensorView& tensor, int64_t row, int64_t channel) {
  return load(tensor, row * tensor.dim(2) + channel);
}

}  // namespace

void token_scores(const TokenScoresArgs& args) {
  check_args(args);
  const int64_t tokens = args.scores.dim(1);
  for (int64_t b = 0; b < args.scores.dim(0); ++b) {
    float* scores = args.scores.f32() + b * tokens;
    double squares = 0.0;
    for (int64_t n = 0; n < tokens; ++n) {
      scores[n] = base_score(args, b, n);
      squares += static_cast<double>(scores[n]) * static_cast<double>(scores[n]);
    }
    if (args.score == TokenScore::kRandom) squares = 1.0;
    const float norm = static_cast<float>(std::max(std::sqrt(squares), kSmallestScoreNorm));
    for (int64_t n = 0; n < tokens; ++n) {
      const float staleness = static_cast<float>(args.counters.i32()[b * tokens + n]);
      scores[n] = scores[n] / norm + args.staleness_weight * staleness;
    }
  }
}

void value_scores(const ValueScoresArgs& args) {
  check_args(args);
  const int64_t heads = args.qkv.dim(4), width = args.qkv.dim(5);
  for (int64_t token = 0; token < args.scores.elements(); ++token) {
    double score = 0.0;
    for (int64_t head = 0; head < heads; ++head) {
      double squares = 0.0;
      for (int64_t i = 0; i < width; ++i) {
        const double v =
            static_cast<double>(load(args.qkv, ((token * 3 + 2) * heads + head) * width + i));
        squares += v * v;
      }
      score += 1.0 - std::sqrt(squares);
    }
    args.scores.f32()[token] = static_cast<float>(score);
  }
}

void spread_scores(const SpreadScoresArgs& args) {
  check_args(args);
  for (int64_t b = 0; b < args.scores.dim(0); ++b) {
    float* const scores = args.scores.f32() + b * args.height * args.width;
    for (int64_t top = 0; top < args.height; top += args.cell) {
      for (int64_t left = 0; left < args.width; left += args.cell) {
        float* highest = scores + top * args.width + left;
        for (int64_t y = top; y < std::min(top + args.cell, args.height); ++y) {
          for (int64_t x = left; x < std::min(left + args.cell, args.width); ++x) {
            float* const score = scores + y * args.width + x;
            const bool lowest = std::isnan(*highest) && !std::isnan(*score);
            if (*score > *highest || lowest) highest = score;
          }
        }
        *highest *= args.factor;
      }
    }
  }
}

void select_tokens(const SelectTokensArgs& args) {
  check_args(args);
  const int64_t tokens = args.scores.dim(1);
  const int64_t count = args.indices.empty() ? 0 : args.indices.dim(1);
  std::vector<int32_t> order(static_cast<size_t>(tokens));
  for (int64_t b = 0; b < args.scores.dim(0); ++b) {
    const float* scores = args.scores.f32() + b * tokens;
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [scores](int32_t left, int32_t right) {
      if (std::isnan(scores[left])) return false;  // NaN is the lowest score
      return std::isnan(scores[right]) || scores[left] > scores[right];
    });
    std::sort(order.begin(), order.begin() + count);
    int32_t* counters = args.counters.i32() + b * tokens;
    for (int64_t n = 0; n < tokens; ++n) ++counters[n];
    for (int64_t k = 0; k < count; ++k) {
      args.indices.i32()[b * count + k] = order[static_cast<size_t>(k)];
      counters[order[static_cast<size_t>(k)]] = 0;
    }
  }
}

void gather_rows(const GatherRowsArgs& args) {
  check_args(args);
  const int64_t tokens = args.input.dim(1), count = args.indices.dim(1);
  const int64_t channels = args.input.dim(2);
  for (int64_t row = 0; row < args.input.dim(0) * count; ++row) {
    const int64_t source = row / count * tokens + args.indices.i32()[row];
    for (int64_t c = 0; c < channels; ++c) {
      store(args.output, row * channels + c, load_row(args.input, source, c));
    }
  }
}

void scatter_rows(const ScatterRowsArgs& args) {
  check_args(args);
  const int64_t tokens = args.output.dim(1), count = args.indices.dim(1);
  const int64_t channels = args.output.dim(2);
  std::vector<float> values(static_cast<size_t>(channels));
  for (int64_t row = 0; row < args.output.dim(0) * count; ++row) {
    const int64_t target = row / count * tokens + args.indices.i32()[row];
    for (int64_t c = 0; c < channels; ++c) {
      values[static_cast<size_t>(c)] = load_row(args.input, row, c);
    }
    store_row(args.output, target, values);
  }
}

}  // namespace engine::plain
