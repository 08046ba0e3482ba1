// Attention of one head (attention_kernels.h), compiled once per instruction set.
//
// Sequences of any length: keys pass in tiles of kKeyTile, in order, with a running maximum and sum
// (Milakov and Gimelshein, arXiv 1805.02867), so scores never leave the first-level cache. Texts
// are short: all scores of a few queries are held at once, and probabilities can be averaged over
// the heads. Both are bound by the multiply-add units: 4 · queries · keys · width operations on
// (queries + keys) · width numbers.
#include "backend/cpu/attention_kernels.h"

#include "backend/cpu/attention_entropy.h"
#include "backend/cpu/attention_grid.h"
#include "backend/cpu/attention_rows.h"
#include "backend/cpu/product_tile.h"

namespace engine::cpu::TOCAFARM_ISA {

namespace {

constexpr int64_t kKeyTile = 128;
constexpr float kNothing = -__builtin_inff();  // the score of a key that is not attended to

TOCAFARM_INLINE int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

// c[r, :] = (add ? c[r, :] : 0) + Σ_i a_r[i] · b[i, :] for columns [0, columns), a multiple of
// kLanes.
TOCAFARM_INLINE void multiply(const float* const* a, int64_t rows, int64_t depth, const float* b,
                              int64_t b_stride, int64_t columns, float* c, int64_t c_stride,
                              bool add) {
  TileProduct tile{.a = a,
                   .tap_stride = 0,
                   .offset = 0,
                   .taps = 1,
                   .depth = depth,
                   .b_stride = b_stride,
                   .c = c,
                   .c_stride = c_stride,
                   .add = add};
  for (int64_t column = 0; column < columns;) {
    // Five vectors are best cut into 3 + 2: one alone would wait for its own sums.
    const int64_t left = (columns - column) / kLanes;
    const int64_t vecs = left == kTileVecs + 1 ? (left + 1) / 2 : smaller(left, kTileVecs);
    tile.c = c + column;
    multiply_columns(vecs, rows, tile, b + column);
    column += vecs * kLanes;
  }
}

// Replaces scores[0, count) by e^(score - highest) and the lanes up to the next multiple of kLanes
// by 0. Returns the sum lane by lane. `highest` must be finite.
TOCAFARM_INLINE Vec exponentials(float* scores, int64_t count, float highest) {
  Vec sum{};
  for (int64_t j = 0; j < count; j += kLanes) {
    const Vec e = exp(load(scores + j) - highest);
    store(scores + j, e);
    sum += e;
  }
  return sum;
}

TOCAFARM_INLINE float highest_of(const float* scores, int64_t count) {
  Vec highest = load(scores);
  for (int64_t j = kLanes; j < count; j += kLanes) highest = max(highest, load(scores + j));
  return max_lane(highest);
}

// Lanes past the last key must not be attended to.
TOCAFARM_INLINE void close_row(float* scores, int64_t count) {
  for (int64_t j = count; j < padded(count); ++j) scores[j] = kNothing;
}

template <typename Element>
TOCAFARM_INLINE void write_row(const float* row, int64_t width, float factor, Element* to) {
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) store(to + i, load(row + i) * factor);
  if (i < width) store_first(to + i, load(row + i) * factor, width - i);
}

TOCAFARM_INLINE void write_output(void* output, bool bf16, int64_t offset, const float* row,
                                  int64_t width, float factor) {
  if (bf16) {
    write_row(row, width, factor, static_cast<uint16_t*>(output) + offset);
  } else {
    write_row(row, width, factor, static_cast<float*>(output) + offset);
  }
}

// The working memory of sequence_attend.
struct SequenceMemory {
  float* queries;      // [count, padded width]
  float* outputs;      // [count, padded width], not yet divided by the sums
  float* sums;         // [count, kLanes]
  float* highest;      // [padded count]
  float* keys;         // [width, kKeyTile]
  float* values;       // [kKeyTile, padded width]
  float* scores;       // [kTileRows, kKeyTile]
  float* rows;         // [kLanes, padded width]
  int64_t floats = 0;  // all together

  SequenceMemory(float* from, int64_t count, int64_t width) {
    const int64_t wide = padded(width);
    const auto take = [&](int64_t wanted) {
      float* taken = from + floats;
      floats += wanted;
      return taken;
    };
    queries = take(count * wide);
    outputs = take(count * wide);
    sums = take(count * kLanes);
    highest = take(padded(count));
    keys = take(wide * kKeyTile);
    values = take(kKeyTile * wide);
    scores = take(kTileRows * kKeyTile);
    rows = take(kLanes * wide);
  }
};

// Bias and mask of queries [row, row + rows) for keys [first, first + count).
TOCAFARM_INLINE void adjust_scores(const SequenceTask& task, int64_t row, int64_t rows,
                                   int64_t first, int64_t count, float* scores) {
  for (int64_t r = 0; r < rows; ++r, scores += kKeyTile) {
    if (task.bias != nullptr) {
      const float* bias = task.bias + (task.first + row + r) * task.keys + first;
      for (int64_t j = 0; j < count; ++j) scores[j] += bias[j];
    }
    if (task.key_mask != nullptr) {
      for (int64_t j = 0; j < count; ++j) {
        if (task.key_mask[first + j] == 0) scores[j] = kNothing;
      }
    }
    close_row(scores, count);
  }
}

// Turns one query's scores into weights relative to the new highest score and brings what has been
// summed so far down to it.
TOCAFARM_INLINE void advance_softmax(const SequenceMemory& memory, int64_t row, int64_t count,
                                     int64_t wide, float* scores) {
  const float before = memory.highest[row];
  const float found = highest_of(scores, count);
  const float highest = before > found ? before : found;
  if (highest == kNothing) {  // no key to attend to yet
    for (int64_t j = 0; j < count; j += kLanes) store(scores + j, Vec{});
    return;
  }
  const Vec sum = exponentials(scores, count, highest);
  float* sums = memory.sums + row * kLanes;
  if (before < highest) {
    const Vec shrink = exp(broadcast(before - highest));
    store(sums, load(sums) * shrink);
    float* output = memory.outputs + row * wide;
    for (int64_t i = 0; i < wide; i += kLanes) store(output + i, load(output + i) * shrink);
    memory.highest[row] = highest;
  }
  store(sums, load(sums) + sum);
}

void attend_tile(const SequenceTask& task, const SequenceMemory& memory, int64_t first,
                 int64_t count) {
  const int64_t wide = padded(task.width);
  const float* score_rows[kTileRows];
  for (int r = 0; r < kTileRows; ++r) score_rows[r] = memory.scores + r * kKeyTile;
  for (int64_t row = 0; row < task.count; row += kTileRows) {
    const int64_t rows = smaller(kTileRows, task.count - row);
    const float* queries[kTileRows];
    for (int64_t r = 0; r < kTileRows; ++r) queries[r] = memory.queries + (row + r) * wide;
    multiply(queries, rows, task.width, memory.keys, kKeyTile, padded(count), memory.scores,
             kKeyTile, false);
    adjust_scores(task, row, rows, first, count, memory.scores);
    for (int64_t r = 0; r < rows; ++r) {
      advance_softmax(memory, row + r, count, wide, memory.scores + r * kKeyTile);
    }
    multiply(score_rows, rows, count, memory.values, wide, wide, memory.outputs + row * wide, wide,
             true);
  }
}

void sequence_attend(const SequenceTask& task) {
  const SequenceMemory memory(task.scratch, task.count, task.width);
  const int64_t wide = padded(task.width);
  for (int64_t row = 0; row < task.count; ++row) {
    read_transformed(task.query, task.query_transform, task.first + row, task.width,
                     memory.queries + row * wide);
    for (int64_t i = 0; i < wide; i += kLanes) store(memory.outputs + row * wide + i, Vec{});
    store(memory.sums + row * kLanes, Vec{});
    memory.highest[row] = kNothing;
  }
  for (int64_t first = 0; first < task.keys; first += kKeyTile) {
    const int64_t count = smaller(kKeyTile, task.keys - first);
    pack_keys(task.key, task.key_transform, first, count, task.width, memory.keys, kKeyTile,
              memory.rows);
    pack_values(task.value, first, count, task.width, memory.values);
    attend_tile(task, memory, first, count);
  }
  for (int64_t row = 0; row < task.count; ++row) {
    const float sum = sum_lanes(load(memory.sums + row * kLanes));
    const float inverse = sum > 0.0f ? 1.0f / sum : 0.0f;
    write_output(task.output, task.query.bf16, (task.first + row) * task.output_stride,
                 memory.outputs + row * wide, task.width, inverse);
    if (task.highest == nullptr) continue;
    task.highest[task.first + row] = memory.highest[row];
    task.inverse[task.first + row] = inverse;
  }
}

int64_t sequence_floats(int64_t count, int64_t width) {
  return SequenceMemory(nullptr, count, width).floats;
}

// The working memory of column_add.
struct ColumnMemory {
  float* queries;      // [kTileRows, padded width]
  float* keys;         // [width, kKeyTile]
  float* scores;       // [kTileRows, kKeyTile]
  float* rows;         // [kLanes, padded width]
  int64_t floats = 0;  // all together

  ColumnMemory(float* from, int64_t width) {
    const int64_t wide = padded(width);
    const auto take = [&](int64_t wanted) {
      float* taken = from + floats;
      floats += wanted;
      return taken;
    };
    queries = take(kTileRows * wide);
    keys = take(wide * kKeyTile);
    scores = take(kTileRows * kKeyTile);
    rows = take(kLanes * wide);
  }
};

// The scores are multiplied out anew: a map of them would not fit anywhere near.
void column_add(const ColumnTask& task) {
  const ColumnMemory memory(task.scratch, task.width);
  const int64_t wide = padded(task.width), columns = padded(task.count);
  pack_keys(task.key, task.key_transform, task.first, task.count, task.width, memory.keys, kKeyTile,
            memory.rows);
  const float* queries[kTileRows];
  for (int r = 0; r < kTileRows; ++r) queries[r] = memory.queries + r * wide;
  for (int64_t row = 0; row < task.queries; row += kTileRows) {
    const int64_t rows = smaller(kTileRows, task.queries - row);
    for (int64_t r = 0; r < rows; ++r) {
      read_transformed(task.query, task.query_transform, row + r, task.width,
                       memory.queries + r * wide);
    }
    multiply(queries, rows, task.width, memory.keys, kKeyTile, columns, memory.scores, kKeyTile,
             false);
    for (int64_t r = 0; r < rows; ++r) {
      const float* scores = memory.scores + r * kKeyTile;
      const Vec highest = broadcast(task.highest[row + r]);
      const Vec inverse = broadcast(task.inverse[row + r]);
      for (int64_t j = 0; j < columns; j += kLanes) {
        const Vec e = exp(load(scores + j) - highest);
        store(task.sums + j, fma(e, inverse, load(task.sums + j)));
      }
    }
  }
}

int64_t column_floats(int64_t width) {
  return ColumnMemory(nullptr, width).floats;
}

void text_pack(const TextPackTask& task) {
  // The rows that are being transposed lie where the values are written afterwards.
  pack_keys(task.key, {}, 0, task.keys, task.width, task.packed_keys, padded(task.keys),
            task.packed_values);
  pack_values(task.value, 0, task.keys, task.width, task.packed_values);
}

// The working memory of text_attend.
struct TextMemory {
  float* averages;     // [count, padded keys]: softmax rows summed over heads
  float* queries;      // [kTileRows, padded width]
  float* outputs;      // [kTileRows, padded width]
  float* scores;       // [kTileRows, padded keys]
  int64_t floats = 0;  // all together

  TextMemory(float* from, int64_t count, int64_t keys, int64_t width) {
    const auto take = [&](int64_t wanted) {
      float* taken = from + floats;
      floats += wanted;
      return taken;
    };
    averages = take(count * padded(keys));
    queries = take(kTileRows * padded(width));
    outputs = take(kTileRows * padded(width));
    scores = take(kTileRows * padded(keys));
  }
};

// Queries [row, row + rows) of one head.
void attend_text_head(const TextTask& task, const TextMemory& memory, int64_t head, int64_t row,
                      int64_t rows) {
  const int64_t wide = padded(task.width), long_keys = padded(task.keys);
  const HeadTransform scaled{.factor = task.scale};
  const float* queries[kTileRows];
  const float* score_rows[kTileRows];
  HeadRows of_head = task.query;
  of_head.data =
      static_cast<const char*>(task.query.data) + head * task.width * (task.query.bf16 ? 2 : 4);
  for (int64_t r = 0; r < kTileRows; ++r) {
    queries[r] = memory.queries + r * wide;
    score_rows[r] = memory.scores + r * long_keys;
    if (r < rows) {
      read_transformed(of_head, scaled, row + r, task.width, memory.queries + r * wide);
    }
  }
  multiply(queries, rows, task.width, task.packed_keys + head * task.packed_stride, long_keys,
           long_keys, memory.scores, long_keys, false);
  float inverses[kTileRows];
  for (int64_t r = 0; r < rows; ++r) {
    float* scores = memory.scores + r * long_keys;
    close_row(scores, task.keys);
    const Vec sum = exponentials(scores, task.keys, highest_of(scores, task.keys));
    inverses[r] = 1.0f / sum_lanes(sum);
    if (task.half_entropy == nullptr) continue;
    float* averages = memory.averages + (row + r) * long_keys;
    for (int64_t j = 0; j < long_keys; j += kLanes) {
      store(averages + j, fma(load(scores + j), broadcast(inverses[r]), load(averages + j)));
    }
  }
  multiply(score_rows, rows, task.keys, task.packed_values + head * task.packed_stride, wide, wide,
           memory.outputs, wide, false);
  for (int64_t r = 0; r < rows; ++r) {
    write_output(task.output, task.query.bf16, (row + r) * task.query.stride + head * task.width,
                 memory.outputs + r * wide, task.width, inverses[r]);
  }
}

void text_attend(const TextTask& task) {
  const TextMemory memory(task.scratch, task.count, task.keys, task.width);
  const int64_t long_keys = padded(task.keys);
  if (task.half_entropy != nullptr) {
    for (int64_t i = 0; i < task.count * long_keys; i += kLanes) store(memory.averages + i, Vec{});
  }
  for (int64_t head = 0; head < task.heads; ++head) {
    for (int64_t row = 0; row < task.count; row += kTileRows) {
      attend_text_head(task, memory, head, row, smaller(kTileRows, task.count - row));
    }
  }
  if (task.half_entropy == nullptr) return;
  const float factor = 0.5f / static_cast<float>(task.heads);
  for (int64_t row = 0; row < task.count; ++row) {
    task.half_entropy[row] = half_entropy_of(memory.averages + row * long_keys, task.keys, factor);
  }
}

int64_t text_floats(int64_t count, int64_t keys, int64_t width) {
  return TextMemory(nullptr, count, keys, width).floats;
}

}  // namespace

extern const AttentionKernels attention_kernels;
const AttentionKernels attention_kernels{.lanes = kLanes,
                                         .tile_rows = kTileRows,
                                         .sequence_floats = sequence_floats,
                                         .sequence_attend = sequence_attend,
                                         .columns = kKeyTile,
                                         .column_floats = column_floats,
                                         .column_add = column_add,
                                         .grid_floats = grid_floats,
                                         .grid_attend = grid_attend,
                                         .text_pack = text_pack,
                                         .text_floats = text_floats,
                                         .text_attend = text_attend};

}  // namespace engine::cpu::TOCAFARM_ISA
