// softmax(q kᵀ · scale) v, one query and one head after the other.
#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/plain/element.h"
#include "backend/plain/operations.h"
#include "backend/shapes.h"

namespace engine::plain {

namespace {

// In place. An empty or wholly masked row (all -infinity) becomes zeros.
void softmax(std::vector<double>& scores) {
  double highest = -INFINITY;
  for (const double score : scores) highest = std::max(highest, score);
  if (highest == -INFINITY) {
    std::fill(scores.begin(), scores.end(), 0.0);
    return;
  }
  double sum = 0.0;
  for (double& score : scores) sum += score = std::exp(score - highest);
  for (double& score : scores) score /= sum;
}

// One head of one qkv token as doubles, normalised and rotated; part is 0 for q, 1 for k, 2 for v.
std::vector<double> head_vector(const SelfAttentionArgs& args, int64_t token, int64_t position,
                                int64_t part, int64_t head) {
  const int64_t heads = args.qkv.dim(4), width = args.qkv.dim(5);
  std::vector<double> vector(static_cast<size_t>(width));
  double squares = 0.0;
  for (int64_t i = 0; i < width; ++i) {
    const double x =
        static_cast<double>(load(args.qkv, ((token * 3 + part) * heads + head) * width + i));
    vector[static_cast<size_t>(i)] = x;
    squares += x * x;
  }
  if (part == 2) return vector;
  const ConstTensorView& norm = part == 0 ? args.q_norm : args.k_norm;
  if (!norm.empty()) {
    const double mean = squares / static_cast<double>(width);
    const double inverse = 1.0 / std::sqrt(mean + static_cast<double>(args.norm_eps));
    for (int64_t i = 0; i < width; ++i) {
      vector[static_cast<size_t>(i)] *= inverse * static_cast<double>(norm.f32()[i]);
    }
  }
  if (args.rope_cos.empty()) return vector;
  for (int64_t i = 0; i < width / 2; ++i) {
    const double cosine = static_cast<double>(args.rope_cos.f32()[position * (width / 2) + i]);
    const double sine = static_cast<double>(args.rope_sin.f32()[position * (width / 2) + i]);
    double& even = vector[static_cast<size_t>(2 * i)];
    double& odd = vector[static_cast<size_t>(2 * i + 1)];
    const double turned = even * cosine - odd * sine;
    odd = odd * cosine + even * sine;
    even = turned;
  }
  return vector;
}

double dot(const std::vector<double>& left, const std::vector<double>& right) {
  double sum = 0.0;
  for (size_t i = 0; i < left.size(); ++i) sum += left[i] * right[i];
  return sum;
}

// `token_of` gives the row in qkv of each position of one sequence. Where column sums are wanted,
// they are added to `columns` [length].
template <typename TokenOf>
void attend_sequence(const SelfAttentionArgs& args, int64_t length, TokenOf token_of,
                     std::vector<double>* columns) {
  const int64_t heads = args.qkv.dim(4), width = args.qkv.dim(5);
  const auto count = static_cast<size_t>(length);
  std::vector<std::vector<double>> keys(count), values(count);
  std::vector<double> scores(count);
  for (int64_t head = 0; head < heads; ++head) {
    for (int64_t j = 0; j < length; ++j) {
      keys[static_cast<size_t>(j)] = head_vector(args, token_of(j), j, 1, head);
      values[static_cast<size_t>(j)] = head_vector(args, token_of(j), j, 2, head);
    }
    for (int64_t i = 0; i < length; ++i) {
      const std::vector<double> query = head_vector(args, token_of(i), i, 0, head);
      for (size_t j = 0; j < count; ++j) {
        scores[j] = dot(query, keys[j]) * static_cast<double>(args.scale);
      }
      softmax(scores);
      for (size_t j = 0; columns != nullptr && j < count; ++j) (*columns)[j] += scores[j];
      for (int64_t c = 0; c < width; ++c) {
        double sum = 0.0;
        for (size_t j = 0; j < count; ++j) sum += scores[j] * values[j][static_cast<size_t>(c)];
        store(args.output, (token_of(i) * heads + head) * width + c, sum);
      }
    }
  }
}

// Softmax row of one query and head over its text tokens; also writes that head's output.
std::vector<double> attend_text(const CrossAttentionArgs& args, int64_t row, int64_t token,
                                int64_t head) {
  const int64_t heads = args.query.dim(2), width = args.query.dim(3);
  const int64_t first = args.text_offsets[static_cast<size_t>(row)];
  const int64_t last = args.text_offsets[static_cast<size_t>(row + 1)];
  const int64_t query = ((row * args.query.dim(1) + token) * heads + head) * width;
  const auto key_value = [&](int64_t text, int64_t part, int64_t i) {
    return static_cast<double>(
        load(args.key_value, ((text * 2 + part) * heads + head) * width + i));
  };
  std::vector<double> scores;
  for (int64_t text = first; text < last; ++text) {
    double sum = 0.0;
    for (int64_t i = 0; i < width; ++i) {
      sum += static_cast<double>(load(args.query, query + i)) * key_value(text, 0, i);
    }
    scores.push_back(sum * static_cast<double>(args.scale));
  }
  softmax(scores);
  for (int64_t i = 0; i < width; ++i) {
    double sum = 0.0;
    for (int64_t text = first; text < last; ++text) {
      sum += scores[static_cast<size_t>(text - first)] * key_value(text, 1, i);
    }
    store(args.output, query + i, sum);
  }
  return scores;
}

double half_entropy(const std::vector<double>& summed, int64_t heads) {
  double entropy = 0.0;
  for (const double sum : summed) {
    const double a = sum / static_cast<double>(heads) / 2.0;
    entropy -= a * std::log(a + 1e-7);
  }
  return entropy;
}

}  // namespace

void self_attention(const SelfAttentionArgs& args) {
  check_args(args);
  const int64_t batch = args.qkv.dim(0), frames = args.qkv.dim(1), tokens = args.qkv.dim(2);
  const bool spatial = args.axis == AttentionAxis::kSpatial;
  const int64_t length = spatial ? tokens : frames, others = spatial ? frames : tokens;
  for (int64_t sequence = 0; sequence < batch * others; ++sequence) {
    const int64_t b = sequence / others, other = sequence % others;
    const auto token_of = [&](int64_t position) {
      return spatial ? (b * frames + other) * tokens + position
                     : (b * frames + position) * tokens + other;
    };
    std::vector<double> columns(static_cast<size_t>(length), 0.0);
    attend_sequence(args, length, token_of, args.column_sums.empty() ? nullptr : &columns);
    for (int64_t i = 0; !args.column_sums.empty() && i < length; ++i) {
      store(args.column_sums, token_of(i),
            columns[static_cast<size_t>(i)] / static_cast<double>(args.qkv.dim(4)));
    }
  }
}

void cross_attention(const CrossAttentionArgs& args) {
  check_args(args);
  const int64_t count = args.query.dim(1), heads = args.query.dim(2);
  for (int64_t b = 0; b < args.query.dim(0); ++b) {
    for (int64_t k = 0; k < count; ++k) {
      std::vector<double> summed;
      for (int64_t head = 0; head < heads; ++head) {
        const std::vector<double> scores = attend_text(args, b, k, head);
        summed.resize(scores.size(), 0.0);
        for (size_t j = 0; j < scores.size(); ++j) summed[j] += scores[j];
      }
      if (args.half_entropy.empty()) continue;
      const int64_t token = args.indices.empty() ? k : args.indices.i32()[b * count + k];
      store(args.half_entropy, b * args.half_entropy.dim(1) + token, half_entropy(summed, heads));
    }
  }
}

void biased_attention(const BiasedAttentionArgs& args) {
  check_args(args);
  const int64_t length = args.query.dim(1), heads = args.query.dim(2), width = args.query.dim(3);
  std::vector<double> scores(static_cast<size_t>(length));
  for (int64_t row = 0; row < args.query.dim(0) * heads * length; ++row) {
    const int64_t b = row / (heads * length), head = row / length % heads, i = row % length;
    const auto place = [&](int64_t token) { return ((b * length + token) * heads + head) * width; };
    for (int64_t j = 0; j < length; ++j) {
      double sum = 0.0;
      for (int64_t c = 0; c < width; ++c) {
        sum += static_cast<double>(load(args.query, place(i) + c)) *
               static_cast<double>(load(args.key, place(j) + c));
      }
      sum *= static_cast<double>(args.scale);
      if (!args.bias.empty()) {
        sum += static_cast<double>(args.bias.f32()[(head * length + i) * length + j]);
      }
      const bool masked = !args.key_mask.empty() && args.key_mask.u8()[b * length + j] == 0;
      scores[static_cast<size_t>(j)] = masked ? -INFINITY : sum;
    }
    softmax(scores);
    for (int64_t c = 0; c < width; ++c) {
      double sum = 0.0;
      for (int64_t j = 0; j < length; ++j) {
        sum += scores[static_cast<size_t>(j)] * static_cast<double>(load(args.value, place(j) + c));
      }
      store(args.output, place(i) + c, sum);
    }
  }
}

}  // namespace engine::plain
