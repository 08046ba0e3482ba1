// Loops without sums (row_kernels.h). Those of additions and multiplications are written for one
// element, without a branch or a call, and the compiler makes vectors of them; those with an
// exponential are written in vectors. All are bound by memory once their rows leave the cache: one
// read of each input and one write of the output.
#include <type_traits>

#include "backend/cpu/float_vector.h"
#include "backend/cpu/row_kernels.h"

namespace engine::cpu::TOCAFARM_ISA {

namespace {

TOCAFARM_INLINE float float_of(float value) {
  return value;
}
TOCAFARM_INLINE float float_of(uint16_t bf16) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(bf16) << 16);
}

TOCAFARM_INLINE void put(float* to, float value) {
  *to = value;
}
// bf16, rounded to nearest even; NaN stays NaN.
TOCAFARM_INLINE void put(uint16_t* to, float value) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, value);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const uint32_t quiet = (bits >> 16) | 0x40u;
  *to = static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
}

// What core/dtype.cpp defines, without a branch.
TOCAFARM_INLINE uint8_t f8_of(float value) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, value);
  const uint32_t magnitude = bits & 0x7fffffffu;
  const uint32_t bounded = magnitude < 0x43e00000u ? magnitude : 0x43e00000u;  // 448
  const float shifted = __builtin_bit_cast(float, bounded) + 0x1p14f;
  const uint32_t subnormal = __builtin_bit_cast(uint32_t, shifted) - 0x46800000u;
  const uint32_t rounded = (bounded + 0x7ffffu + ((bounded >> 20) & 1u) - 0x3c000000u) >> 20;
  const uint32_t number = bounded < 0x3c800000u ? subnormal : rounded;
  const uint32_t kept = magnitude > 0x7f800000u ? 0x7fu : number;
  return static_cast<uint8_t>(kept | ((bits >> 24) & 0x80u));
}

// One rounding where the CPU has the instruction, two on the baseline.
TOCAFARM_INLINE float fused(float a, float b, float c) {
#if defined(__FMA__)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}

// Calls `loop` with the row as a pointer to its own element type.
template <typename Loop>
TOCAFARM_INLINE void with_type(Row row, Loop loop) {
  if (row.type == RowType::kBF16) {
    loop(static_cast<uint16_t*>(row.data));
  } else {
    loop(static_cast<float*>(row.data));
  }
}
template <typename Loop>
TOCAFARM_INLINE void with_type(ConstRow row, Loop loop) {
  if (row.type == RowType::kBF16) {
    loop(static_cast<const uint16_t*>(row.data));
  } else if (row.type == RowType::kF8) {
    loop(F8Row{static_cast<const uint8_t*>(row.data), *row.scale});
  } else {
    loop(static_cast<const float*>(row.data));
  }
}

void add_term(const float* input, const TermRow& term, float* x, int64_t n) {
  const float* const gate = term.gate;
  with_type(term.feature, [=](auto from) {
    if (gate == nullptr) {
      for (int64_t i = 0; i < n; ++i) x[i] = input[i] + float_of(from[i]);
    } else {
      for (int64_t i = 0; i < n; ++i) x[i] = input[i] + gate[i] * float_of(from[i]);
    }
  });
}

// Terms of fp32 in one pass, so that a row is loaded and stored once.
template <bool... kGated>
struct FloatTerms {
  static constexpr size_t kCount = sizeof...(kGated);
  const float* features[kCount];
  const float* gates[kCount];

  TOCAFARM_INLINE void next_row(int64_t n) {
    for (const float*& feature : features) feature += n;
  }

  template <typename Load>
  TOCAFARM_INLINE Vec added_to(Vec sum, Load load_at) const {
    size_t term = 0;
    const auto add = [&](bool gated) {
      const Vec feature = load_at(features[term]);
      sum = sum + (gated ? load_at(gates[term]) * feature : feature);
      ++term;
    };
    (add(kGated), ...);
    return sum;
  }
};

template <bool... kGated>
void add_float_terms(const float* input, const TermRow* terms, int count, float* x, int64_t n,
                     int64_t rows) {
  constexpr int kCount = sizeof...(kGated);
  if constexpr (kCount < kMaxTermRows) {
    if (kCount < count) {
      if (terms[kCount].gate != nullptr)
        return add_float_terms<kGated..., true>(input, terms, count, x, n, rows);
      return add_float_terms<kGated..., false>(input, terms, count, x, n, rows);
    }
  }
  if constexpr (kCount > 0) {
    FloatTerms<kGated...> all;
    for (int t = 0; t < kCount; ++t) {
      all.features[t] = static_cast<const float*>(terms[t].feature.data);
      all.gates[t] = terms[t].gate;
    }
    for (int64_t row = 0; row < rows; ++row, input += n, x += n, all.next_row(n)) {
      int64_t i = 0;
      const auto whole = [&](const float* from) { return load(from + i); };
      for (; i + kLanes <= n; i += kLanes) store(x + i, all.added_to(load(input + i), whole));
      if (i == n) continue;
      const auto rest = [&](const float* from) { return load_first(from + i, n - i); };
      store_first(x + i, all.added_to(load_first(input + i, n - i), rest), n - i);
    }
  }
}

ConstRow next_row(ConstRow row, int64_t n) {
  const int64_t bytes = row.type == RowType::kF32 ? 4 : row.type == RowType::kBF16 ? 2 : 1;
  row.data = static_cast<const char*>(row.data) + n * bytes;
  if (row.scale != nullptr) ++row.scale;
  return row;
}

void add_terms(const float* input, const TermRow* terms, int count, float* x, int64_t n,
               int64_t rows) {
  bool floats = true;
  for (int t = 0; t < count; ++t) floats = floats && terms[t].feature.type == RowType::kF32;
  if (floats) return add_float_terms<>(input, terms, count, x, n, rows);
  TermRow now[kMaxTermRows];
  for (int t = 0; t < count; ++t) now[t] = terms[t];
  for (int64_t row = 0; row < rows; ++row, input += n, x += n) {
    for (int t = 0; t < count; ++t) {
      add_term(t == 0 ? input : x, now[t], x, n);
      now[t].feature = next_row(now[t].feature, n);
    }
  }
}

void modulate(const float* x, float mean, float inverse, const float* scale, const float* shift,
              Row output, int64_t n) {
  with_type(output, [=](auto* to) {
    for (int64_t i = 0; i < n; ++i) {
      put(to + i, fused((x[i] - mean) * inverse, 1.0f + scale[i], shift[i]));
    }
  });
}

void weigh(const float* x, float inverse, const float* weight, Row output, int64_t n) {
  with_type(output, [=](auto* to) {
    for (int64_t i = 0; i < n; ++i) put(to + i, x[i] * inverse * weight[i]);
  });
}

// x / (1 + e^-slope)
TOCAFARM_INLINE Vec gated(Vec x, Vec slope) {
  const Vec bounded = max(slope, broadcast(-88.0f));  // exp takes no more than 88
  return x / (1.0f + exp(-bounded));
}

// 0.5 x (1 + tanh u) = x / (1 + e^-2u), u = sqrt(2 / π) (x + 0.044715 x³).
TOCAFARM_INLINE Vec gelu_of(Vec x) {
  return gated(x, 1.59576912f * fma(0.044715f * x * x, x, x));
}

void silu(const float* input, Row output, int64_t n) {
  with_type(output, [=](auto* to) {
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
      const Vec x = load(input + i);
      store(to + i, gated(x, x));
    }
    const Vec x = load_first(input + i, n - i);
    store_first(to + i, gated(x, x), n - i);
  });
}

template <bool kSilu, typename Element>
void normalise_row(const Element* x, const float* mean, const float* factor, const float* bias,
                   Element* to, int64_t n) {
  const auto value = [](Vec centred, Vec scale, Vec shift) {
    const Vec normed = fma(centred, scale, shift);
    return kSilu ? gated(normed, normed) : normed;
  };
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    store(to + i, value(load(x + i) - load(mean + i), load(factor + i), load(bias + i)));
  }
  if (i == n) return;
  const Vec centred = load_first(x + i, n - i) - load_first(mean + i, n - i);
  store_first(to + i, value(centred, load_first(factor + i, n - i), load_first(bias + i, n - i)),
              n - i);
}

// Input and output are of one type, fp32 or bf16.
void normalise(ConstRow x, const float* mean, const float* factor, const float* bias, bool silu,
               Row output, int64_t n) {
  with_type(output, [=](auto* to) {
    const auto* from = static_cast<std::remove_pointer_t<decltype(to)> const*>(x.data);
    if (silu) {
      normalise_row<true>(from, mean, factor, bias, to, n);
    } else {
      normalise_row<false>(from, mean, factor, bias, to, n);
    }
  });
}

void gelu_tanh(const float* input, Row output, int64_t n) {
  with_type(output, [=](auto* to) {
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) store(to + i, gelu_of(load(input + i)));
    store_first(to + i, gelu_of(load_first(input + i, n - i)), n - i);
  });
}

void gated_gelu(const float* gate, const float* value, Row output, int64_t n) {
  with_type(output, [=](auto* to) {
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
      store(to + i, gelu_of(load(gate + i)) * load(value + i));
    }
    const int64_t left = n - i;
    store_first(to + i, gelu_of(load_first(gate + i, left)) * load_first(value + i, left), left);
  });
}

void add(const float* a, const float* b, float* output, int64_t n) {
  for (int64_t i = 0; i < n; ++i) output[i] = a[i] + b[i];
}

// The largest magnitude, NaN left out.
template <typename From>
TOCAFARM_INLINE float largest_of(From from, int64_t n) {
  Vec largest{};
  for (int64_t i = 0; i < n; i += kLanes) {
    float lanes[kLanes] = {};
    const int64_t count = n - i < kLanes ? n - i : kLanes;
    for (int64_t lane = 0; lane < count; ++lane) lanes[lane] = float_of(from[i + lane]);
    const Vec value = load(lanes);
    largest = max(value < 0.0f ? -value : value, largest);
  }
  return max_lane(largest);
}

template <typename From>
TOCAFARM_INLINE void convert_to_f8(From from, Row output, int64_t n) {
  constexpr float kLargestFloat = 0x1.fffffep127f;
  const float largest = largest_of(from, n);
  const float scale = (largest < kLargestFloat ? largest : kLargestFloat) / 448.0f;
  auto* const to = static_cast<uint8_t*>(output.data);
  if (scale == 0.0f) {
    for (int64_t i = 0; i < n; ++i) to[i] = f8_of(float_of(from[i]) * 0.0f);
  } else {
    for (int64_t i = 0; i < n; ++i) to[i] = f8_of(float_of(from[i]) / scale);
  }
  *output.scale = scale;
}

void convert(ConstRow input, Row output, int64_t n) {
  with_type(input, [=](auto from) {
    if (output.type == RowType::kF8) return convert_to_f8(from, output, n);
    with_type(output, [=](auto* to) {
      for (int64_t i = 0; i < n; ++i) put(to + i, float_of(from[i]));
    });
  });
}

void add_weighted(const float* input, float weight, ConstRow term, float* x, int64_t n) {
  with_type(term, [=](auto from) {
    if (input == nullptr) {
      for (int64_t i = 0; i < n; ++i) x[i] = weight * float_of(from[i]);
    } else {
      for (int64_t i = 0; i < n; ++i) x[i] = input[i] + weight * float_of(from[i]);
    }
  });
}

void entropy_base(const float* first, const float* second, float* output, int64_t n) {
  for (int64_t i = 0; i < n; ++i) output[i] = 1.0f + (first[i] + second[i]);
}

void finish_scores(float* scores, float norm, float weight, const int32_t* counters, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    scores[i] = scores[i] / norm + weight * static_cast<float>(counters[i]);
  }
}

void guided_euler(float* latent, const float* conditional, const float* unconditional,
                  float guidance, float delta, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const float velocity = unconditional[i] + guidance * (conditional[i] - unconditional[i]);
    latent[i] += velocity * delta;
  }
}

void guide(const float* conditional, const float* unconditional, float guidance, float* output,
           int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    output[i] = unconditional[i] + guidance * (conditional[i] - unconditional[i]);
  }
}

// In vectors, since the output may be one of the terms.
template <int kCount>
void weighted_sum_of(const float* weights, const float* const* terms, float* output, int64_t n) {
  const auto sum = [=](auto read) {
    Vec total = weights[0] * read(terms[0]);
    for (int term = 1; term < kCount; ++term) total = total + weights[term] * read(terms[term]);
    return total;
  };
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    store(output + i, sum([i](const float* term) { return load(term + i); }));
  }
  store_first(output + i, sum([=](const float* term) { return load_first(term + i, n - i); }),
              n - i);
}

void weighted_sum(const float* weights, const float* const* terms, int count, float* output,
                  int64_t n) {
  using Sum = void (*)(const float*, const float* const*, float*, int64_t);
  constexpr Sum kSums[] = {weighted_sum_of<1>, weighted_sum_of<2>, weighted_sum_of<3>,
                           weighted_sum_of<4>, weighted_sum_of<5>, weighted_sum_of<6>};
  kSums[count - 1](weights, terms, output, n);
}

// One order after the other for a vector: a value is read before it is written over.
void update_differences(const float* fresh, float* const* differences, int count, float scale,
                        int64_t n) {
  const auto update = [=](auto read, auto write) {
    Vec value = read(fresh);
    for (int order = 0; order + 1 < count; ++order) {
      const Vec before = read(differences[order]);
      write(differences[order], value);
      value = (value - before) * scale;
    }
    write(differences[count - 1], value);
  };
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    update([i](const float* from) { return load(from + i); },
           [i](float* to, Vec value) { store(to + i, value); });
  }
  update([=](const float* from) { return load_first(from + i, n - i); },
         [=](float* to, Vec value) { store_first(to + i, value, n - i); });
}

// exp(½ (f high + (1 - f) low)) = exp(¼ ((high + low) + v (high - low))).
TOCAFARM_INLINE Vec spread_of(Vec v, float low, float high) {
  const Vec half = fma(v, broadcast(0.25f * (high - low)), broadcast(0.25f * (high + low)));
  return exp(half > 88.0f ? broadcast(88.0f) : half);  // exp takes no more than 88
}

void variance_noise(float* latent, const float* v, const float* noise, float low, float high,
                    int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vec spread = spread_of(load(v + i), low, high);
    store(latent + i, fma(spread, load(noise + i), load(latent + i)));
  }
  const int64_t left = n - i;
  const Vec spread = spread_of(load_first(v + i, left), low, high);
  store_first(latent + i, fma(spread, load_first(noise + i, left), load_first(latent + i, left)),
              left);
}

void renoise(float* latent, const float* noise, float t, int64_t n) {
  const float keep = 1.0f - t;
  for (int64_t i = 0; i < n; ++i) latent[i] = keep * latent[i] + t * noise[i];
}

void rgb8(const float* input, uint8_t* output, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const float above = input[i] > -1.0f ? input[i] : -1.0f;  // also NaN
    const float x = above < 1.0f ? above : 1.0f;
    output[i] = static_cast<uint8_t>(static_cast<int32_t>((x + 1.0f) / 2.0f * 255.0f + 0.5f));
  }
}

template <typename Element>
void split(const Element* input, Element* even, Element* odd, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    even[i] = input[2 * i];
    odd[i] = input[2 * i + 1];
  }
}

void split_pairs(ConstRow input, Row even, Row odd, int64_t n) {
  with_type(even, [=](auto* to) {
    using Element = std::remove_pointer_t<decltype(to)>;
    split(static_cast<const Element*>(input.data), to, static_cast<Element*>(odd.data), n);
  });
}

}  // namespace

extern const PointwiseKernels kPointwiseKernels;
const PointwiseKernels kPointwiseKernels{
    .add_terms = add_terms,
    .modulate = modulate,
    .weigh = weigh,
    .normalise = normalise,
    .silu = silu,
    .gelu_tanh = gelu_tanh,
    .gated_gelu = gated_gelu,
    .add = add,
    .convert = convert,
    .add_weighted = add_weighted,
    .entropy_base = entropy_base,
    .finish_scores = finish_scores,
    .guided_euler = guided_euler,
    .guide = guide,
    .weighted_sum = weighted_sum,
    .variance_noise = variance_noise,
    .renoise = renoise,
    .update_differences = update_differences,
    .rgb8 = rgb8,
    .split_pairs = split_pairs,
};

}  // namespace engine::cpu::TOCAFARM_ISA
