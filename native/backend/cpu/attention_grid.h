// Attention of many short sequences, as the temporal axis has them: one lane is one position of the
// frame, so norm, rotation, scores and softmax need no sum across lanes, however few tokens a
// sequence has. Everything is transposed once on the way in and once on the way out. Bound by
// memory: 12 · length · width FLOPs and some 16 · width bytes for each token of a head.
#pragma once

#include "backend/cpu/attention_kernels.h"
#include "backend/cpu/float_vector.h"

namespace engine::cpu::TOCAFARM_ISA {

namespace {

constexpr int64_t kGridTile = 4;  // registers: its square of sums and twice itself of factors

// The working memory of grid_attend; every number is a vector of kLanes.
struct GridMemory {
  float* queries;      // [length, width]
  float* keys;         // [length, width]
  float* values;       // [length, width]
  float* scores;       // [kGridTile, length]
  float* outputs;      // [kGridTile, width]
  int64_t floats = 0;  // all together

  GridMemory(float* from, int64_t length, int64_t width) {
    const auto take = [&](int64_t vectors) {
      float* taken = from + floats;
      floats += vectors * kLanes;
      return taken;
    };
    queries = take(length * width);
    keys = take(length * width);
    values = take(length * width);
    scores = take(kGridTile * length);
    outputs = take(kGridTile * width);
  }
};

// Vectors of one head at `positions` positions, transposed to [width, kLanes]; other lanes are 0.
template <typename Element>
void gather_positions(const Element* from, int64_t position_stride, int64_t positions,
                      int64_t width, float* to) {
  for (int64_t i = 0; i < width; i += kLanes) {
    const int64_t left = width - i < kLanes ? width - i : kLanes;
    Vec square[kLanes];
#pragma GCC unroll 16
    for (int p = 0; p < kLanes; ++p) {
      const Element* row = from + p * position_stride + i;
      square[p] = p >= positions ? Vec{} : left == kLanes ? load(row) : load_first(row, left);
      if (p < positions) __builtin_prefetch(row + width, 0, 2);  // the next head, read next
    }
    transpose(square);
    for (int64_t c = 0; c < left; ++c) store(to + (i + c) * kLanes, square[c]);
  }
}

// The way back, times a factor for each lane.
template <typename Element>
void scatter_positions(const float* from, Vec factor, int64_t position_stride, int64_t positions,
                       int64_t width, Element* to) {
  for (int64_t i = 0; i < width; i += kLanes) {
    const int64_t left = width - i < kLanes ? width - i : kLanes;
    Vec square[kLanes] = {};
    for (int64_t c = 0; c < left; ++c) square[c] = load(from + (i + c) * kLanes) * factor;
    transpose(square);
    for (int64_t p = 0; p < positions; ++p) {
      Element* row = to + p * position_stride + i;
      if (left == kLanes) {
        store(row, square[p]);
      } else {
        store_first(row, square[p], left);
      }
    }
  }
}

TOCAFARM_INLINE void normalise_lanes(const float* norm, float eps, int64_t width, float* x) {
  Vec squares{};
  for (int64_t c = 0; c < width; ++c) {
    const Vec value = load(x + c * kLanes);
    squares = fma(value, value, squares);
  }
  const Vec inverse = 1.0f / square_root(squares / static_cast<float>(width) + eps);
  for (int64_t c = 0; c < width; ++c) {
    store(x + c * kLanes, load(x + c * kLanes) * inverse * norm[c]);
  }
}

TOCAFARM_INLINE void rotate_lanes(const float* cosines, const float* sines, int64_t width,
                                  float* x) {
  for (int64_t i = 0; i < width / 2; ++i) {
    float* even = x + 2 * i * kLanes;
    float* odd = even + kLanes;
    const Vec a = load(even), b = load(odd);
    const Vec cosine = broadcast(cosines[i]), sine = broadcast(sines[i]);
    store(even, fma(a, cosine, -b * sine));
    store(odd, fma(b, cosine, a * sine));
  }
}

void transform_lanes(const GridTask& task, const float* norm, float factor, float* x) {
  for (int64_t t = 0; t < task.length; ++t, x += task.width * kLanes) {
    if (norm != nullptr) normalise_lanes(norm, task.eps, task.width, x);
    if (task.cosines != nullptr) {
      const int64_t angles = t * (task.width / 2);
      rotate_lanes(task.cosines + angles, task.sines + angles, task.width, x);
    }
    if (factor == 1.0f) continue;
    for (int64_t c = 0; c < task.width; ++c) store(x + c * kLanes, load(x + c * kLanes) * factor);
  }
}

// Vectors: element (row, n) lies at data + (row * row_stride + n * step) * kLanes.
struct LaneMatrix {
  float* data;
  int64_t row_stride;
  int64_t step;

  TOCAFARM_INLINE float* at(int64_t row, int64_t n) const {
    return data + (row * row_stride + n * step) * kLanes;
  }
};

// sums[r, c] = Σ_n a[row + r, n] · b[column + c, n], lane by lane.
template <int kRows, int kColumns>
TOCAFARM_INLINE void multiply_lanes(const LaneMatrix& a, const LaneMatrix& b, int64_t row,
                                    int64_t column, int64_t depth, const LaneMatrix& sums) {
  Vec sum[kRows][kColumns] = {};
  for (int64_t n = 0; n < depth; ++n) {
    Vec factor[kColumns];
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) factor[c] = load(b.at(column + c, n));
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const Vec value = load(a.at(row + r, n));
#pragma GCC unroll 4
      for (int c = 0; c < kColumns; ++c) sum[r][c] = fma(value, factor[c], sum[r][c]);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) store(sums.at(r, column + c), sum[r][c]);
  }
}

// For all columns and `kRows` rows of a.
template <int kRows>
TOCAFARM_INLINE void multiply_lane_rows(const LaneMatrix& a, const LaneMatrix& b, int64_t row,
                                        int64_t columns, int64_t depth, const LaneMatrix& sums) {
  int64_t column = 0;
  for (; column + kGridTile <= columns; column += kGridTile) {
    multiply_lanes<kRows, kGridTile>(a, b, row, column, depth, sums);
  }
  switch (columns - column) {
    case 1:
      return multiply_lanes<kRows, 1>(a, b, row, column, depth, sums);
    case 2:
      return multiply_lanes<kRows, 2>(a, b, row, column, depth, sums);
    case 3:
      return multiply_lanes<kRows, 3>(a, b, row, column, depth, sums);
    default:
      return;
  }
}

void multiply_lane_block(const LaneMatrix& a, const LaneMatrix& b, int64_t row, int64_t rows,
                         int64_t columns, int64_t depth, const LaneMatrix& sums) {
  static_assert(kGridTile == 4);
  switch (rows) {
    case 1:
      return multiply_lane_rows<1>(a, b, row, columns, depth, sums);
    case 2:
      return multiply_lane_rows<2>(a, b, row, columns, depth, sums);
    case 3:
      return multiply_lane_rows<3>(a, b, row, columns, depth, sums);
    default:
      return multiply_lane_rows<4>(a, b, row, columns, depth, sums);
  }
}

// Replaces scores by e^(score - highest); returns the sum.
TOCAFARM_INLINE Vec softmax_lanes(int64_t length, float* scores) {
  Vec highest = load(scores);
  for (int64_t j = 1; j < length; ++j) highest = max(highest, load(scores + j * kLanes));
  Vec sum{};
  for (int64_t j = 0; j < length; ++j) {
    const Vec e = exp(load(scores + j * kLanes) - highest);
    store(scores + j * kLanes, e);
    sum += e;
  }
  return sum;
}

template <typename Element>
void grid_attend_of(const GridTask& task) {
  const int64_t length = task.length, width = task.width;
  const GridMemory memory(task.scratch, length, width);
  for (int64_t t = 0; t < length; ++t) {
    const int64_t from = t * task.token_stride, to = t * width * kLanes;
    gather_positions(static_cast<const Element*>(task.query) + from, task.position_stride,
                     task.positions, width, memory.queries + to);
    gather_positions(static_cast<const Element*>(task.key) + from, task.position_stride,
                     task.positions, width, memory.keys + to);
    gather_positions(static_cast<const Element*>(task.value) + from, task.position_stride,
                     task.positions, width, memory.values + to);
  }
  transform_lanes(task, task.query_norm, task.scale, memory.queries);
  transform_lanes(task, task.key_norm, 1.0f, memory.keys);
  const LaneMatrix queries{memory.queries, width, 1}, keys{memory.keys, width, 1};
  const LaneMatrix values{memory.values, 1, width};  // row c, depth t
  const LaneMatrix scores{memory.scores, length, 1}, outputs{memory.outputs, width, 1};
  for (int64_t first = 0; first < length; first += kGridTile) {
    const int64_t rows = length - first < kGridTile ? length - first : kGridTile;
    multiply_lane_block(queries, keys, first, rows, length, width, scores);
    Vec sums[kGridTile];
    for (int64_t r = 0; r < rows; ++r) sums[r] = softmax_lanes(length, scores.at(r, 0));
    multiply_lane_block(scores, values, 0, rows, width, length, outputs);
    for (int64_t r = 0; r < rows; ++r) {
      scatter_positions(
          outputs.at(r, 0), 1.0f / sums[r], task.output_position_stride, task.positions, width,
          static_cast<Element*>(task.output) + (first + r) * task.output_token_stride);
    }
  }
}

void grid_attend(const GridTask& task) {
  if (task.bf16) {
    grid_attend_of<uint16_t>(task);
  } else {
    grid_attend_of<float>(task);
  }
}

int64_t grid_floats(int64_t length, int64_t width) {
  return GridMemory(nullptr, length, width).floats;
}

}  // namespace
}  // namespace engine::cpu::TOCAFARM_ISA
