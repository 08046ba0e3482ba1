// Attention of one head in pairs of bf16 (attention_pairs.h).
//
// Queries stand in lanes: scoresᵀ = keys · queriesᵀ and outputsᵀ = valuesᵀ · probabilitiesᵀ. So
// keys are read as they lie, highest scores and sums need no step across lanes, two lines of
// probabilities are one line of pairs, and a head width of 72 is twelve tiles of six rows without
// a lane to spare. Keys pass in tiles of kKeyTile, in order (attention_kernels.cpp); a lane knows
// nothing of those beside it. Bound by the multiply-add units, which do two of bf16 for one of
// fp32.
//
// Scores are kept times log2(e): probabilities are powers of two.
#include "backend/cpu/attention_pairs.h"

#include "backend/cpu/attention_entropy.h"
#include "backend/cpu/attention_pair_rows.h"
#include "backend/cpu/product_tile.h"

namespace engine::cpu::TOCAFARM_ISA {

namespace {

constexpr float kLog2E = 1.44269504f;
constexpr float kNothing = -__builtin_inff();
constexpr int64_t kGroup = kQueryTile;  // lines of scores, outputs and packed queries

static_assert(kGroup == kTileVecs * kLanes && kKeyTile % kTileRows == 0);

TOCAFARM_INLINE int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

TOCAFARM_INLINE Vec larger(Vec a, Vec b) {
  return _mm512_maskz_max_ps(kAll, a, b);
}

// c[r, :] = (add ? c[r, :] : 0) + Σ_i a[r, i] · b[i, :]; lines of b and c are kGroup long.
struct Product {
  const Pair* a;
  int64_t a_stride;
  int64_t rows;
  int64_t depth;
  const Pair* b;
  float* c;
  bool add;
};

// For the first `vecs` vectors of the lines.
[[gnu::noinline]] void multiply(const Product& product, int64_t vecs) {
  const Pair* a[kTileRows] = {};
  RowsProduct<Pair> tile{.a = a,
                         .tap_stride = 0,
                         .offset = 0,
                         .taps = 1,
                         .depth = product.depth,
                         .b_stride = kGroup,
                         .c = product.c,
                         .c_stride = kGroup,
                         .add = product.add};
  for (int64_t row = 0; row < product.rows; row += kTileRows) {
    const int64_t rows = smaller(kTileRows, product.rows - row);
    for (int64_t r = 0; r < rows; ++r) a[r] = product.a + (row + r) * product.a_stride;
    tile.c = product.c + row * kGroup;
    multiply_columns(vecs, rows, tile, product.b);
  }
}

// scores[j, :], j < keys, of a group of queries.
void score(const Pair* keys, int64_t count, const Pair* queries, int64_t width, int64_t vecs,
           float* scores) {
  multiply({.a = keys,
            .a_stride = padded_pairs(width),
            .rows = count,
            .depth = pairs_of(width),
            .b = queries,
            .c = scores,
            .add = false},
           vecs);
}

// outputs[i, :] += Σ_j values[i, j] · probabilities[j, :], i < width, j < count.
void gather_values(const Pair* values, int64_t stride, int64_t count, const float* probabilities,
                   int64_t width, int64_t vecs, bool add, float* outputs) {
  multiply({.a = values,
            .a_stride = stride,
            .rows = width,
            .depth = pairs_of(count),
            .b = reinterpret_cast<const Pair*>(probabilities),
            .c = outputs,
            .add = add},
           vecs);
}

TOCAFARM_INLINE Vec highest_of(const float* scores, int64_t count, Vec scale) {
  Vec highest = broadcast(kNothing);
  for (int64_t j = 0; j < count; ++j) {
    highest = larger(highest, load(scores + j * kGroup) * scale);
  }
  return highest;
}

// Replaces scores by 2^(score · scale - highest), two lines by one of pairs, and returns their sum.
TOCAFARM_INLINE Vec weigh(float* scores, int64_t count, Vec scale, Vec highest, Vec sum) {
  for (int64_t j = 0; j < count; j += 2) {
    const float* line = scores + j * kGroup;
    const Vec first = exp2<float>(fma(load(line), scale, -highest));
    const Vec second =
        j + 1 < count ? exp2<float>(fma(load(line + kGroup), scale, -highest)) : Vec{};
    sum = sum + first + second;
    store(scores + j / 2 * kGroup, pair_up(first, second));
  }
  return sum;
}

// What is known of the queries of a group while keys pass: lines of kGroup.
struct Group {
  Pair* queries;   // [pairs of the width]
  float* outputs;  // [width], not yet divided by the sums
  float* sums;
  float* highest;
};

// The working memory of sequence_attend.
struct SequenceMemory {
  float* groups;  // of group_floats each
  Pair* keys;     // [kKeyTile, padded pairs of the width]
  Pair* values;   // [width, padded pairs of kKeyTile]
  float* scores;  // [kKeyTile, kGroup]
  float* rows;    // row_scratch_floats
  int64_t group_floats;
  int64_t floats = 0;  // all together

  SequenceMemory(float* from, int64_t count, int64_t width)
      : group_floats((pairs_of(width) + width + 2) * kGroup) {
    const auto take = [&](int64_t wanted) {
      float* taken = from + floats;
      floats += wanted;
      return taken;
    };
    groups = take((count + kGroup - 1) / kGroup * group_floats);
    keys = reinterpret_cast<Pair*>(take(kKeyTile * padded_pairs(width)));
    values = reinterpret_cast<Pair*>(take(width * padded_pairs(kKeyTile)));
    scores = take(kKeyTile * kGroup);
    rows = take(row_scratch_floats(width));
  }

  TOCAFARM_INLINE Group group(int64_t index, int64_t width) const {
    float* const first = groups + index * group_floats;
    float* const outputs = first + pairs_of(width) * kGroup;
    float* const sums = outputs + width * kGroup;
    return {reinterpret_cast<Pair*>(first), outputs, sums, sums + kGroup};
  }
};

TOCAFARM_INLINE int64_t vectors_of(int64_t count) {
  return padded(smaller(count, kGroup)) / kLanes;
}

// Turns scores of a tile of keys into pairs of probabilities relative to the new highest score,
// and brings what has been summed so far down to it.
void advance_softmax(const Group& group, float* scores, int64_t count, int64_t width, Vec scale) {
  const Vec before = load(group.highest);
  const Vec highest = larger(before, highest_of(scores, count, scale));
  const Vec shrink = exp2<float>(before - highest);
  store(group.highest, highest);
  store(group.sums, weigh(scores, count, scale, highest, load(group.sums) * shrink));
  if (_mm512_cmp_ps_mask(shrink, broadcast(1.0f), _CMP_NEQ_UQ) == 0) return;
  for (int64_t i = 0; i < width; ++i) {
    store(group.outputs + i * kGroup, load(group.outputs + i * kGroup) * shrink);
  }
}

void attend_tile(const SequenceTask& task, const SequenceMemory& memory, int64_t count, Vec scale) {
  for (int64_t row = 0; row < task.count; row += kGroup) {
    const Group group = memory.group(row / kGroup, task.width);
    const int64_t vecs = vectors_of(task.count - row);
    score(memory.keys, count, group.queries, task.width, vecs, memory.scores);
    for (int64_t lane = 0; lane < vecs * kLanes; lane += kLanes) {
      advance_softmax({nullptr, group.outputs + lane, group.sums + lane, group.highest + lane},
                      memory.scores + lane, count, task.width, scale);
    }
    gather_values(memory.values, padded_pairs(kKeyTile), count, memory.scores, task.width, vecs,
                  true, group.outputs);
  }
}

// The transform without its factor, which scores get: products of bf16 as it was are exact.
HeadTransform unscaled(HeadTransform transform) {
  transform.factor = 1.0f;
  return transform;
}

void start_groups(const SequenceTask& task, const SequenceMemory& memory) {
  for (int64_t row = 0; row < task.count; row += kGroup) {
    const Group group = memory.group(row / kGroup, task.width);
    pack_columns(task.query, unscaled(task.query_transform), task.first + row,
                 smaller(kGroup, task.count - row), task.width, group.queries, kGroup, memory.rows);
    for (int64_t i = 0; i < (task.width + 1) * kGroup; i += kLanes) store(group.outputs + i, Vec{});
    for (int64_t i = 0; i < kGroup; i += kLanes) store(group.highest + i, broadcast(kNothing));
  }
}

}  // namespace

void sequence_attend(const SequenceTask& task) {
  const SequenceMemory memory(task.scratch, task.count, task.width);
  const Vec scale = broadcast(task.query_transform.factor * kLog2E);
  start_groups(task, memory);
  for (int64_t first = 0; first < task.keys; first += kKeyTile) {
    const int64_t count = smaller(kKeyTile, task.keys - first);
    for (int64_t j = 0; j < count; ++j) {
      read_pairs(task.key, task.key_transform, first + j, task.width, memory.rows,
                 memory.keys + j * padded_pairs(task.width));
    }
    pack_transposed(task.value, first, count, task.width, memory.values, padded_pairs(kKeyTile));
    attend_tile(task, memory, count, scale);
  }
  for (int64_t row = 0; row < task.count; row += kLanes) {
    const Group group = memory.group(row / kGroup, task.width);
    const int64_t lane = row % kGroup, place = task.first + row;
    const int64_t count = smaller(kLanes, task.count - row);
    const Vec inverse = 1.0f / load(group.sums + lane);
    write_rows(group.outputs + lane, kGroup, inverse, count, task.width,
               static_cast<uint16_t*>(task.output) + place * task.output_stride,
               task.output_stride);
    if (task.highest == nullptr) continue;
    const __mmask16 mask = static_cast<__mmask16>((1u << count) - 1u);
    _mm512_mask_storeu_ps(task.highest + place, mask, load(group.highest + lane));
    _mm512_mask_storeu_ps(task.inverse + place, mask, inverse);
  }
}

int64_t sequence_floats(int64_t count, int64_t width) {
  return SequenceMemory(nullptr, count, width).floats;
}

namespace {

// The working memory of column_add.
struct ColumnMemory {
  Pair* keys;          // [kKeyTile, padded pairs of the width]
  Pair* queries;       // [pairs of the width, kGroup]
  float* scores;       // [kKeyTile, kGroup]
  float* sums;         // [kKeyTile, kLanes]
  float* rows;         // row_scratch_floats
  int64_t floats = 0;  // all together

  ColumnMemory(float* from, int64_t width) {
    const auto take = [&](int64_t wanted) {
      float* taken = from + floats;
      floats += wanted;
      return taken;
    };
    keys = reinterpret_cast<Pair*>(take(kKeyTile * padded_pairs(width)));
    queries = reinterpret_cast<Pair*>(take(pairs_of(width) * kGroup));
    scores = take(kKeyTile * kGroup);
    sums = take(kKeyTile * kLanes);
    rows = take(row_scratch_floats(width));
  }
};

}  // namespace

// The scores are those of sequence_attend, multiplied out anew.
void column_add(const ColumnTask& task) {
  const ColumnMemory memory(task.scratch, task.width);
  const Vec scale = broadcast(task.query_transform.factor * kLog2E);
  for (int64_t j = 0; j < task.count; ++j) {
    read_pairs(task.key, task.key_transform, task.first + j, task.width, memory.rows,
               memory.keys + j * padded_pairs(task.width));
    store(memory.sums + j * kLanes, Vec{});
  }
  for (int64_t row = 0; row < task.queries; row += kGroup) {
    const int64_t vecs = vectors_of(task.queries - row);
    pack_columns(task.query, unscaled(task.query_transform), row,
                 smaller(kGroup, task.queries - row), task.width, memory.queries, kGroup,
                 memory.rows);
    score(memory.keys, task.count, memory.queries, task.width, vecs, memory.scores);
    for (int64_t lane = 0; lane < vecs * kLanes; lane += kLanes) {
      const int64_t count = smaller(kLanes, task.queries - row - lane);
      const Vec highest = load_first(task.highest + row + lane, count);
      const Vec inverse = load_first(task.inverse + row + lane, count);  // 0 for no query
      for (int64_t j = 0; j < task.count; ++j) {
        const Vec e = exp2<float>(fma(load(memory.scores + j * kGroup + lane), scale, -highest));
        float* const sums = memory.sums + j * kLanes;
        store(sums, fma(e, inverse, load(sums)));
      }
    }
  }
  for (int64_t j = 0; j < task.count; ++j) {
    task.sums[j] += sum_lanes(load(memory.sums + j * kLanes));
  }
}

int64_t column_floats(int64_t width) {
  return ColumnMemory(nullptr, width).floats;
}

void text_pack(const TextPackTask& task) {
  Pair* const keys = reinterpret_cast<Pair*>(task.packed_keys);
  for (int64_t j = 0; j < task.keys; ++j) {
    read_pairs(task.key, {}, j, task.width, nullptr, keys + j * padded_pairs(task.width));
  }
  pack_transposed(task.value, 0, task.keys, task.width, reinterpret_cast<Pair*>(task.packed_values),
                  padded_pairs(task.keys));
}

namespace {

// The working memory of text_attend.
struct TextMemory {
  float* averages;     // [padded keys, kGroup]: probabilities summed over heads
  float* scores;       // [keys, kGroup]
  float* outputs;      // [width, kGroup]
  Pair* queries;       // [pairs of the width, kGroup]
  float* rows;         // row_scratch_floats, or [kLanes, padded keys]
  int64_t floats = 0;  // all together

  TextMemory(float* from, int64_t keys, int64_t width) {
    const auto take = [&](int64_t wanted) {
      float* taken = from + floats;
      floats += wanted;
      return taken;
    };
    averages = take(padded(keys) * kGroup);
    scores = take(keys * kGroup);
    outputs = take(width * kGroup);
    queries = reinterpret_cast<Pair*>(take(pairs_of(width) * kGroup));
    rows = take(larger_of(row_scratch_floats(width), kLanes * padded(keys)));
  }

  static int64_t larger_of(int64_t a, int64_t b) { return a > b ? a : b; }
};

// Replaces a vector of each line of scores by probabilities not yet divided by their sum, in pairs,
// and returns 1 / sum; `averages`, if not null, gets the probabilities.
Vec weigh_text(float* scores, int64_t keys, Vec scale, float* averages) {
  constexpr int kSums = 4;  // fewer roundings in a row: the entropy is held to those of fp32
  const Vec highest = highest_of(scores, keys, scale);
  Vec sums[kSums] = {};
  for (int64_t j = 0; j < keys; ++j) {
    float* const line = scores + j * kGroup;
    const Vec e = exp2<float>(fma(load(line), scale, -highest));
    store(line, e);
    sums[j % kSums] += e;
  }
  const Vec inverse = 1.0f / ((sums[0] + sums[1]) + (sums[2] + sums[3]));
  if (averages != nullptr) {
    for (int64_t j = 0; j < keys; ++j) {
      float* const average = averages + j * kGroup;
      store(average, fma(load(scores + j * kGroup), inverse, load(average)));
    }
  }
  for (int64_t j = 0; j < keys; j += 2) {
    const float* line = scores + j * kGroup;
    const Vec second = j + 1 < keys ? load(line + kGroup) : Vec{};
    store(scores + j / 2 * kGroup, pair_up(load(line), second));
  }
  return inverse;
}

// Queries [row, row + count) of one head, count <= kGroup.
void attend_text_head(const TextTask& task, const TextMemory& memory, int64_t head, int64_t row,
                      int64_t count) {
  const int64_t vecs = vectors_of(count), keys = task.keys, width = task.width;
  const Vec scale = broadcast(task.scale * kLog2E);
  HeadRows of_head = task.query;
  of_head.data = static_cast<const uint16_t*>(task.query.data) + head * width;
  pack_columns(of_head, {}, row, count, width, memory.queries, kGroup, memory.rows);
  const float* const packed_keys = task.packed_keys + head * task.packed_stride;
  score(reinterpret_cast<const Pair*>(packed_keys), keys, memory.queries, width, vecs,
        memory.scores);
  Vec inverses[kTileVecs];
  for (int64_t v = 0; v < vecs; ++v) {
    float* const averages = task.half_entropy == nullptr ? nullptr : memory.averages + v * kLanes;
    inverses[v] = weigh_text(memory.scores + v * kLanes, keys, scale, averages);
  }
  const float* const packed_values = task.packed_values + head * task.packed_stride;
  gather_values(reinterpret_cast<const Pair*>(packed_values), padded_pairs(keys), keys,
                memory.scores, width, vecs, false, memory.outputs);
  uint16_t* const output = static_cast<uint16_t*>(task.output) + head * width;
  for (int64_t v = 0; v < vecs; ++v) {
    const int64_t first = v * kLanes;
    write_rows(memory.outputs + first, kGroup, inverses[v], smaller(kLanes, count - first), width,
               output + (row + first) * task.query.stride, task.query.stride);
  }
}

// The entropies of `count` <= kLanes queries whose averages stand in the lanes of columns.
void write_entropies(const TextTask& task, const float* averages, float* rows, int64_t count,
                     float* half_entropy) {
  const int64_t wide = padded(task.keys);
  for (int64_t key = 0; key < wide; key += kLanes) {
    Vec square[kLanes];
#pragma GCC unroll 16
    for (int j = 0; j < kLanes; ++j) square[j] = load(averages + (key + j) * kGroup);
    transpose(square);
#pragma GCC unroll 16
    for (int j = 0; j < kLanes; ++j) store(rows + j * wide + key, square[j]);
  }
  const float factor = 0.5f / static_cast<float>(task.heads);
  for (int64_t i = 0; i < count; ++i) {
    half_entropy[i] = half_entropy_of(rows + i * wide, task.keys, factor);
  }
}

}  // namespace

void text_attend(const TextTask& task) {
  const TextMemory memory(task.scratch, task.keys, task.width);
  for (int64_t row = 0; row < task.count; row += kGroup) {
    const int64_t count = smaller(kGroup, task.count - row);
    if (task.half_entropy != nullptr) {
      for (int64_t i = 0; i < padded(task.keys) * kGroup; i += kLanes) {
        store(memory.averages + i, Vec{});
      }
    }
    for (int64_t head = 0; head < task.heads; ++head) {
      attend_text_head(task, memory, head, row, count);
    }
    if (task.half_entropy == nullptr) continue;
    for (int64_t first = 0; first < count; first += kLanes) {
      write_entropies(task, memory.averages + first, memory.rows, smaller(kLanes, count - first),
                      task.half_entropy + row + first);
    }
  }
}

int64_t text_floats(int64_t, int64_t keys, int64_t width) {
  return TextMemory(nullptr, keys, width).floats;
}

}  // namespace engine::cpu::TOCAFARM_ISA
