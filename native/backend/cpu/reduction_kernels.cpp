// Sums over a row with four vector accumulators (an addition takes four cycles to come back),
// joined in a fixed order at the end, and sums over pixels for each channel (row_kernels.h).
#include "backend/cpu/float_vector.h"
#include "backend/cpu/row_kernels.h"

namespace engine::cpu::TOCAFARM_ISA {

namespace {

constexpr int kWideLanes = kLanes / 2;
typedef float NarrowVec __attribute__((vector_size(kWideLanes * 4)));
typedef double WideVec __attribute__((vector_size(kWideLanes * 8)));

template <typename Vector>
double add_lanes(Vector vector) {
  constexpr int kCount = sizeof(Vector) / sizeof(vector[0]);
  double sum = 0.0;
  for (int lane = 0; lane < kCount; ++lane) sum += static_cast<double>(vector[lane]);
  return sum;
}

// Σ value(i, count) over vectors of kWidth elements from i; only the last may have count < kWidth,
// and `value` then leaves the other lanes zero.
template <typename Vector, int kWidth, typename Value>
TOCAFARM_INLINE double sum_vectors(int64_t n, Value value) {
  Vector first{}, second{}, third{}, fourth{};
  int64_t i = 0;
  for (; i + 4 * kWidth <= n; i += 4 * kWidth) {
    first += value(i, kWidth);
    second += value(i + kWidth, kWidth);
    third += value(i + 2 * kWidth, kWidth);
    fourth += value(i + 3 * kWidth, kWidth);
  }
  for (; i + kWidth <= n; i += kWidth) first += value(i, kWidth);
  if (i < n) second += value(i, n - i);
  return add_lanes((first + second) + (third + fourth));
}

double sum(const float* x, int64_t n) {
  return sum_vectors<Vec, kLanes>(n, [x](int64_t i, int64_t count) {
    return count == kLanes ? load(x + i) : load_first(x + i, count);
  });
}

double squares(const float* x, float centre, int64_t n) {
  return sum_vectors<Vec, kLanes>(n, [=](int64_t i, int64_t count) {
    Vec difference = (count == kLanes ? load(x + i) : load_first(x + i, count)) - centre;
    for (int64_t lane = count; lane < kLanes; ++lane) difference[lane] = 0.0f;
    return difference * difference;
  });
}

TOCAFARM_INLINE WideVec widen(NarrowVec value) {
#if defined(__AVX512F__)
  // In one instruction; the plain form of it trips a warning of GCC 12.
  return _mm512_maskz_cvtps_pd(0xff, value);
#else
  return __builtin_convertvector(value, WideVec);
#endif
}

// `count` elements as double, zeros in the other lanes.
TOCAFARM_INLINE WideVec widen(const float* from, int64_t count) {
  NarrowVec narrow{};
  if (count == kWideLanes) {
    __builtin_memcpy(&narrow, from, sizeof narrow);
  } else {
    for (int64_t lane = 0; lane < count; ++lane) narrow[lane] = from[lane];
  }
  return widen(narrow);
}
TOCAFARM_INLINE WideVec widen(const uint16_t* from, int64_t count) {
  typedef uint16_t Halves __attribute__((vector_size(kWideLanes * 2)));
  typedef uint32_t Bits __attribute__((vector_size(kWideLanes * 4)));
  Halves halves{};
  if (count == kWideLanes) {
    __builtin_memcpy(&halves, from, sizeof halves);
  } else {
    for (int64_t lane = 0; lane < count; ++lane) halves[lane] = from[lane];
  }
  return widen(reinterpret_cast<NarrowVec>(__builtin_convertvector(halves, Bits) << 16));
}

TOCAFARM_INLINE WideVec widen(F8Row from, int64_t count) {
  float lanes[kWideLanes] = {};
  for (int64_t lane = 0; lane < count; ++lane) lanes[lane] = from[lane];
  return widen(lanes, kWideLanes);
}

template <typename A, typename B>
double dot_of(A a, B b, int64_t n) {
  return sum_vectors<WideVec, kWideLanes>(
      n, [=](int64_t i, int64_t count) { return widen(a + i, count) * widen(b + i, count); });
}

template <typename Use>
TOCAFARM_INLINE double with_type(ConstRow row, Use use) {
  if (row.type == RowType::kBF16) return use(static_cast<const uint16_t*>(row.data));
  if (row.type == RowType::kF32) return use(static_cast<const float*>(row.data));
  return use(F8Row{static_cast<const uint8_t*>(row.data), *row.scale});
}

double dot(ConstRow a, ConstRow b, int64_t n) {
  return with_type(a,
                   [=](auto x) { return with_type(b, [=](auto y) { return dot_of(x, y, n); }); });
}

TOCAFARM_INLINE WideVec absolute(WideVec value) {
  return value < 0.0 ? -value : value;
}

void absolute_change(const float* a, const float* b, int64_t n, double* sums) {
  sums[0] = sum_vectors<WideVec, kWideLanes>(n, [=](int64_t i, int64_t count) {
    return absolute(widen(a + i, count) - widen(b + i, count));
  });
  sums[1] = sum_vectors<WideVec, kWideLanes>(
      n, [=](int64_t i, int64_t count) { return absolute(widen(b + i, count)); });
}

double distance(const float* a, const float* b, int64_t n) {
  return sum_vectors<Vec, kLanes>(n, [=](int64_t i, int64_t count) {
    const Vec change = count == kLanes ? load(a + i) - load(b + i)
                                       : load_first(a + i, count) - load_first(b + i, count);
    return change < 0.0f ? -change : change;
  });
}

// The moments of kVecs vectors of channels over a block of pixels: several at once hide the latency
// of an addition. `count`: channels of each vector.
template <int kVecs, typename Element>
TOCAFARM_INLINE void column_moments(const Element* x, int64_t pixels, int64_t channels,
                                    int64_t count, double* sums, double* squares) {
  WideVec sum[kVecs]{}, square[kVecs]{};
  for (int64_t p = 0; p < pixels; ++p) {
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) {
      const WideVec value = widen(x + p * channels + v * kWideLanes, count);
      sum[v] += value;
      square[v] += value * value;
    }
  }
  for (int v = 0; v < kVecs; ++v) {
    for (int64_t lane = 0; lane < count; ++lane) {
      sums[v * kWideLanes + lane] += sum[v][lane];
      squares[v * kWideLanes + lane] += square[v][lane];
    }
  }
}

template <typename Element>
void block_moments(const Element* x, int64_t pixels, int64_t channels, double* sums,
                   double* squares) {
  constexpr int kVecs = 4;
  int64_t c = 0;
  for (; c + kVecs * kWideLanes <= channels; c += kVecs * kWideLanes) {
    column_moments<kVecs>(x + c, pixels, channels, kWideLanes, sums + c, squares + c);
  }
  for (; c < channels; c += kWideLanes) {
    const int64_t count = channels - c < kWideLanes ? channels - c : kWideLanes;
    column_moments<1>(x + c, pixels, channels, count, sums + c, squares + c);
  }
}

template <typename Element>
void moments_of(const Element* x, int64_t pixels, int64_t channels, double* sums, double* squares) {
  // A block of 16 KiB stays in the first-level cache.
  constexpr int64_t kBlockElements = 4096;
  const int64_t block = channels < kBlockElements ? kBlockElements / channels : 1;
  for (int64_t p = 0; p < pixels; p += block) {
    const int64_t count = pixels - p < block ? pixels - p : block;
    block_moments(x + p * channels, count, channels, sums, squares);
  }
}

void channel_moments(ConstRow x, int64_t pixels, int64_t channels, double* sums, double* squares) {
  if (x.type == RowType::kBF16) {
    moments_of(static_cast<const uint16_t*>(x.data), pixels, channels, sums, squares);
  } else {
    moments_of(static_cast<const float*>(x.data), pixels, channels, sums, squares);
  }
}

}  // namespace

extern const ReductionKernels kReductionKernels;
const ReductionKernels kReductionKernels{
    .sum = sum,
    .squares = squares,
    .dot = dot,
    .absolute_change = absolute_change,
    .distance = distance,
    .channel_moments = channel_moments,
};

}  // namespace engine::cpu::TOCAFARM_ISA
