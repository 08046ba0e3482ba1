// Cuts attention into tasks of one head of one sequence and a block of queries, which the kernels
// do each on one thread. A query's bits depend on its own sequence alone, so blocks may follow the
// number of threads.
#include "backend/cpu/attention.h"

#include <omp.h>

#include <algorithm>
#include <cstring>

#include "backend/cpu/attention_kernels.h"
#include "backend/cpu/attention_pairs.h"
#include "backend/cpu/scratch.h"
#include "backend/shapes.h"
#include "core/tensor.h"

namespace engine::cpu {

namespace {

int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}
int64_t round_up(int64_t a, int64_t b) {
  return ceil_div(a, b) * b;
}

// The kernels of AVX-512 with those in pairs of bf16 in their place, where there are such.
AttentionKernels kernels_in_pairs() {
  AttentionKernels kernels = avx512::attention_kernels;
  kernels.tile_rows = avx512_bf16::kQueryTile;
  kernels.sequence_floats = avx512_bf16::sequence_floats;
  kernels.sequence_attend = avx512_bf16::sequence_attend;
  kernels.columns = avx512_bf16::kKeyTile;
  kernels.column_floats = avx512_bf16::column_floats;
  kernels.column_add = avx512_bf16::column_add;
  kernels.text_pack = avx512_bf16::text_pack;
  kernels.text_floats = avx512_bf16::text_floats;
  kernels.text_attend = avx512_bf16::text_attend;
  return kernels;
}

// `products`: what queries, keys and values may be multiplied as.
const AttentionKernels& attention_kernels_for(const CpuContext& context, DType products) {
  static const AttentionKernels in_pairs = kernels_in_pairs();
  if (context.bf16_native && products == DType::kBF16) return in_pairs;
  switch (context.isa) {
    case Isa::kAvx512:
      return avx512::attention_kernels;
    case Isa::kAvx2:
      return avx2::attention_kernels;
    case Isa::kBaseline:
      break;
  }
  return baseline::attention_kernels;
}

const void* element(const ConstTensorView& tensor, int64_t index) {
  return static_cast<const std::byte*>(tensor.data()) +
         static_cast<size_t>(index) * dtype_bytes(tensor.dtype());
}

void* element(const TensorView& tensor, int64_t index) {
  return static_cast<std::byte*>(tensor.data()) +
         static_cast<size_t>(index) * dtype_bytes(tensor.dtype());
}

// Calls work(task, thread) for every task; whichever thread is free takes the next few.
template <typename Work>
void for_each_task(const CpuContext& context, int64_t tasks, Work work) {
  if (context.threads <= 1 || tasks <= 1) {
    for (int64_t task = 0; task < tasks; ++task) work(task, size_t{0});
    return;
  }
  constexpr int64_t kTurnsAThread = 16;
  const int64_t turn = std::max<int64_t>(1, tasks / (context.threads * kTurnsAThread));
#pragma omp parallel for num_threads(context.threads) schedule(dynamic, turn)
  for (int64_t task = 0; task < tasks; ++task) {
    work(task, static_cast<size_t>(omp_get_thread_num()));
  }
}

// How many queries of a sequence one task takes: many, since each task packs all keys anew, but
// queries and sums (2 · 512 KiB at most) must stay in the second-level cache, and every thread
// should have something to do.
int64_t block_queries(const CpuContext& context, const AttentionKernels& kernels, int64_t queries,
                      int64_t width, int64_t sequences) {
  constexpr int64_t kBlockElements = 64 * 1024;
  constexpr int64_t kMostQueries = 512, kFewestQueries = 24;
  const int64_t wanted = ceil_div(int64_t{2} * context.threads, std::max<int64_t>(1, sequences));
  int64_t block = std::min(kBlockElements / std::max<int64_t>(1, width), kMostQueries);
  block = std::max(std::min(block, ceil_div(queries, wanted)), kFewestQueries);
  const int64_t blocks = ceil_div(queries, block);
  return std::min(queries, round_up(ceil_div(queries, blocks), kernels.tile_rows));
}

// Runs sequence_attend over all sequences. describe(sequence) gives a task over all queries.
template <typename Describe>
void attend_sequences(const CpuContext& context, const AttentionKernels& kernels, int64_t sequences,
                      int64_t queries, int64_t width, Describe describe) {
  if (sequences == 0 || queries == 0) return;
  const int64_t block = block_queries(context, kernels, queries, width, sequences);
  const int64_t blocks = ceil_div(queries, block);
  const auto floats = static_cast<size_t>(kernels.sequence_floats(block, width));
  const Scratch scratch(0, static_cast<size_t>(context.threads), floats * sizeof(float));
  for_each_task(context, sequences * blocks, [&](int64_t index, size_t thread) {
    SequenceTask task = describe(index / blocks);
    task.first = index % blocks * block;
    task.count = std::min(block, queries - task.first);
    task.scratch = reinterpret_cast<float*>(scratch.part(thread));
    kernels.sequence_attend(task);
  });
}

// Cosines and sines as the kernels want them, kept by this thread for the length of the call.
struct Rotation {
  Tensor cosines, sines;  // [positions, padded width]
};

const Rotation& expand_rotation(const AttentionKernels& kernels, const SelfAttentionArgs& args,
                                int64_t positions) {
  static thread_local Rotation rotation;
  const int64_t half = args.qkv.dim(5) / 2, wide = round_up(2 * half, kernels.lanes);
  if (rotation.cosines.empty() || rotation.cosines.elements() < positions * wide) {
    rotation.cosines = Tensor({positions * wide}, DType::kF32);
    rotation.sines = Tensor({positions * wide}, DType::kF32);
  }
  for (int64_t position = 0; position < positions; ++position) {
    float* cosines = rotation.cosines.f32() + position * wide;
    float* sines = rotation.sines.f32() + position * wide;
    std::fill_n(cosines, wide, 0.0f);
    std::fill_n(sines, wide, 0.0f);
    for (int64_t i = 0; i < half; ++i) {
      cosines[2 * i] = cosines[2 * i + 1] = args.rope_cos.f32()[position * half + i];
      sines[2 * i + 1] = args.rope_sin.f32()[position * half + i];
      sines[2 * i] = -sines[2 * i + 1];
    }
  }
  return rotation;
}

// Two floats for each of `queries`, kept by this thread for the length of the call.
float* statistics_of(int64_t queries) {
  static thread_local Tensor statistics;
  if (statistics.empty() || statistics.elements() < 2 * queries) {
    statistics = Tensor({2 * queries}, DType::kF32);
  }
  return statistics.f32();
}

// Column sums of the maps that attend_sequences has just been through: of `groups` of sequences
// that differ in their head alone. place(group, position) is where the sum of a key belongs. A task
// is some keys of all heads, so that sums run over heads and queries in order, whatever the
// threads.
template <typename Describe, typename Place>
void sum_columns(const CpuContext& context, const AttentionKernels& kernels, int64_t heads,
                 int64_t groups, Describe describe, Place place) {
  const int64_t width = describe(0).width, keys = describe(0).keys;
  const int64_t tiles = ceil_div(keys, kernels.columns);
  ScratchLayout part;
  const size_t sums_at = part.add<float>(kernels.columns);
  const size_t memory_at = part.add<float>(kernels.column_floats(width));
  const Scratch scratch(0, static_cast<size_t>(context.threads), part.bytes());
  for_each_task(context, groups * tiles, [&](int64_t index, size_t thread) {
    const int64_t group = index / tiles, first = index % tiles * kernels.columns;
    const int64_t count = std::min(kernels.columns, keys - first);
    float* const sums = reinterpret_cast<float*>(scratch.part(thread) + sums_at);
    std::fill_n(sums, kernels.columns, 0.0f);
    for (int64_t head = 0; head < heads; ++head) {
      const SequenceTask task = describe(group * heads + head);
      kernels.column_add({.query = task.query,
                          .key = task.key,
                          .queries = task.keys,
                          .first = first,
                          .count = count,
                          .width = width,
                          .query_transform = task.query_transform,
                          .key_transform = task.key_transform,
                          .highest = task.highest,
                          .inverse = task.inverse,
                          .sums = sums,
                          .scratch = reinterpret_cast<float*>(scratch.part(thread) + memory_at)});
    }
    for (int64_t j = 0; j < count; ++j) {
      *place(group, first + j) = sums[j] / static_cast<float>(heads);
    }
  });
}

// Longer sequences than this leave the second-level cache when every lane has its own (64 tokens of
// width 72: 900 KiB), and have enough keys to fill vectors by themselves.
constexpr int64_t kLongestGridSequence = 32;

bool suits_grid(const AttentionKernels& kernels, const SelfAttentionArgs& args) {
  return args.axis == AttentionAxis::kTemporal && args.column_sums.empty() &&
         args.qkv.dim(1) <= kLongestGridSequence && 2 * args.qkv.dim(2) >= kernels.lanes;
}

// Temporal attention with few frames: a task is one head at some neighbouring positions.
void attend_grid(const CpuContext& context, const AttentionKernels& kernels,
                 const SelfAttentionArgs& args) {
  const int64_t frames = args.qkv.dim(1), tokens = args.qkv.dim(2);
  const int64_t heads = args.qkv.dim(4), width = args.qkv.dim(5);
  const int64_t blocks = ceil_div(tokens, kernels.lanes), channels = heads * width;
  const auto floats = static_cast<size_t>(kernels.grid_floats(frames, width));
  const Scratch scratch(0, static_cast<size_t>(context.threads), floats * sizeof(float));
  for_each_task(context, args.qkv.dim(0) * blocks * heads, [&](int64_t task, size_t thread) {
    const int64_t head = task % heads, first = task / heads % blocks * kernels.lanes;
    const int64_t token = task / heads / blocks * frames * tokens + first;
    const int64_t place = token * 3 * channels + head * width;
    kernels.grid_attend({.query = element(args.qkv, place),
                         .key = element(args.qkv, place + channels),
                         .value = element(args.qkv, place + 2 * channels),
                         .bf16 = args.qkv.dtype() == DType::kBF16,
                         .token_stride = tokens * 3 * channels,
                         .position_stride = 3 * channels,
                         .positions = std::min(kernels.lanes, tokens - first),
                         .length = frames,
                         .width = width,
                         .query_norm = args.q_norm.f32(),
                         .key_norm = args.k_norm.f32(),
                         .eps = args.norm_eps,
                         .cosines = args.rope_cos.f32(),
                         .sines = args.rope_sin.f32(),
                         .scale = args.scale,
                         .output = element(args.output, token * channels + head * width),
                         .output_token_stride = tokens * channels,
                         .output_position_stride = channels,
                         .scratch = reinterpret_cast<float*>(scratch.part(thread))});
  });
}

// Where the packed keys and values of the texts lie: [B, heads] of `stride` floats each.
struct PackedTexts {
  float* keys = nullptr;
  float* values = nullptr;
  int64_t stride = 0;  // the longest text decides
};

int64_t text_length(const CrossAttentionArgs& args, int64_t b) {
  return args.text_offsets[static_cast<size_t>(b + 1)] - args.text_offsets[static_cast<size_t>(b)];
}

void pack_text_head(const AttentionKernels& kernels, const CrossAttentionArgs& args,
                    const PackedTexts& packed, int64_t b, int64_t head) {
  const int64_t heads = args.query.dim(2), width = args.query.dim(3);
  const int64_t first = args.text_offsets[static_cast<size_t>(b)];
  const int64_t key = (first * 2 * heads + head) * width;
  const HeadRows rows{.data = element(args.key_value, key),
                      .stride = 2 * heads * width,
                      .bf16 = args.key_value.dtype() == DType::kBF16};
  HeadRows values = rows;
  values.data = element(args.key_value, key + heads * width);
  kernels.text_pack({.key = rows,
                     .value = values,
                     .keys = text_length(args, b),
                     .width = width,
                     .packed_keys = packed.keys + (b * heads + head) * packed.stride,
                     .packed_values = packed.values + (b * heads + head) * packed.stride});
}

// Queries [first, first + count) of batch row b. `memory` holds `count` entropies, then the
// kernel's scratch.
void attend_text_block(const AttentionKernels& kernels, const CrossAttentionArgs& args,
                       const PackedTexts& packed, int64_t b, int64_t first, int64_t count,
                       float* entropies, float* memory) {
  const int64_t queries = args.query.dim(1), heads = args.query.dim(2), width = args.query.dim(3);
  const int64_t row = b * queries + first, place = row * heads * width;
  if (text_length(args, b) == 0) {
    const auto bytes =
        static_cast<size_t>(count * heads * width) * dtype_bytes(args.output.dtype());
    std::memset(element(args.output, place), 0, bytes);
    std::fill_n(entropies, count, 0.0f);
  } else {
    kernels.text_attend({.query = {.data = element(args.query, place),
                                   .stride = heads * width,
                                   .bf16 = args.query.dtype() == DType::kBF16},
                         .count = count,
                         .heads = heads,
                         .keys = text_length(args, b),
                         .width = width,
                         .scale = args.scale,
                         .packed_keys = packed.keys + b * heads * packed.stride,
                         .packed_values = packed.values + b * heads * packed.stride,
                         .packed_stride = packed.stride,
                         .output = element(args.output, place),
                         .half_entropy = args.half_entropy.empty() ? nullptr : entropies,
                         .scratch = memory});
  }
  if (args.half_entropy.empty()) return;
  float* target = args.half_entropy.f32() + b * args.half_entropy.dim(1);
  for (int64_t i = 0; i < count; ++i) {
    target[args.indices.empty() ? first + i : args.indices.i32()[row + i]] = entropies[i];
  }
}

}  // namespace

void self_attention(const CpuContext& context, const SelfAttentionArgs& args) {
  check_args(args);
  const int64_t frames = args.qkv.dim(1), tokens = args.qkv.dim(2);
  const int64_t heads = args.qkv.dim(4), width = args.qkv.dim(5);
  if (args.qkv.elements() == 0) return;
  // Rotated vectors keep what a rounding to bf16 would take from them, as temporal ones do.
  const DType products = args.rope_cos.empty() ? args.qkv.dtype() : DType::kF32;
  const AttentionKernels& kernels = attention_kernels_for(context, products);
  if (suits_grid(kernels, args)) return attend_grid(context, kernels, args);
  const bool spatial = args.axis == AttentionAxis::kSpatial;
  const int64_t length = spatial ? tokens : frames;
  const int64_t others = spatial ? frames : tokens;
  const int64_t step = spatial ? 1 : tokens;  // tokens from one position to the next
  const int64_t sequences = args.qkv.dim(0) * others * heads;
  HeadTransform query{.norm = args.q_norm.f32(), .eps = args.norm_eps, .factor = args.scale};
  HeadTransform key{.norm = args.k_norm.f32(), .eps = args.norm_eps};
  if (!args.rope_cos.empty()) {
    const Rotation& rotation = expand_rotation(kernels, args, length);
    query.cosines = key.cosines = rotation.cosines.view().f32();
    query.sines = key.sines = rotation.sines.view().f32();
  }
  float* const statistics = args.column_sums.empty() ? nullptr : statistics_of(sequences * length);
  const auto describe = [&](int64_t sequence) {
    const int64_t head = sequence % heads, other = sequence / heads % others;
    const int64_t first =
        sequence / heads / others * frames * tokens + other * (spatial ? tokens : 1);
    const auto part = [&](int64_t index) {
      return HeadRows{.data = element(args.qkv, ((first * 3 + index) * heads + head) * width),
                      .stride = step * 3 * heads * width,
                      .bf16 = args.qkv.dtype() == DType::kBF16};
    };
    SequenceTask task{.query = part(0),
                      .key = part(1),
                      .value = part(2),
                      .keys = length,
                      .width = width,
                      .query_transform = query,
                      .key_transform = key,
                      .output = element(args.output, (first * heads + head) * width),
                      .output_stride = step * heads * width};
    if (statistics != nullptr) {
      task.highest = statistics + sequence * length;
      task.inverse = task.highest + sequences * length;
    }
    return task;
  };
  attend_sequences(context, kernels, sequences, length, width, describe);
  if (statistics == nullptr) return;
  sum_columns(context, kernels, heads, sequences / heads, describe,
              [&](int64_t group, int64_t position) {
                const int64_t first = group / others * frames * tokens;
                const int64_t other = group % others * (spatial ? tokens : 1);
                return args.column_sums.f32() + first + other + position * step;
              });
}

void cross_attention(const CpuContext& context, const CrossAttentionArgs& args) {
  check_args(args);
  const int64_t batch = args.query.dim(0), queries = args.query.dim(1);
  const int64_t heads = args.query.dim(2), width = args.query.dim(3);
  if (args.query.elements() == 0) return;
  const AttentionKernels& kernels = attention_kernels_for(context, args.query.dtype());
  int64_t longest = 0;
  for (int64_t b = 0; b < batch; ++b) longest = std::max(longest, text_length(args, b));

  constexpr int64_t kBlockQueries = 48;  // their averaged maps of 300 tokens take 57 KiB
  const int64_t block = std::min(queries, kBlockQueries), blocks = ceil_div(queries, block);
  const int64_t stride = round_up(longest, kernels.lanes) * round_up(width, kernels.lanes);
  ScratchLayout shared, part;
  const size_t keys = shared.add<float>(batch * heads * stride);
  const size_t values = shared.add<float>(batch * heads * stride);
  const size_t entropies = part.add<float>(block);
  const size_t memory = part.add<float>(kernels.text_floats(block, longest, width));
  const Scratch scratch(shared.bytes(), static_cast<size_t>(context.threads), part.bytes());
  const PackedTexts packed{.keys = reinterpret_cast<float*>(scratch.shared() + keys),
                           .values = reinterpret_cast<float*>(scratch.shared() + values),
                           .stride = stride};
  for_each_task(context, batch * heads, [&](int64_t index, size_t) {
    pack_text_head(kernels, args, packed, index / heads, index % heads);
  });
  for_each_task(context, batch * blocks, [&](int64_t index, size_t thread) {
    const int64_t first = index % blocks * block;
    attend_text_block(kernels, args, packed, index / blocks, first,
                      std::min(block, queries - first),
                      reinterpret_cast<float*>(scratch.part(thread) + entropies),
                      reinterpret_cast<float*>(scratch.part(thread) + memory));
  });
}

void biased_attention(const CpuContext& context, const BiasedAttentionArgs& args) {
  check_args(args);
  const int64_t length = args.query.dim(1), heads = args.query.dim(2), width = args.query.dim(3);
  // Bias and mask are added to scores of fp32 alone: the text encoder runs once a prompt.
  const bool plain = args.bias.empty() && args.key_mask.empty();
  const AttentionKernels& kernels =
      attention_kernels_for(context, plain ? args.query.dtype() : DType::kF32);
  const int64_t sequences = args.query.dim(0) * heads;
  attend_sequences(context, kernels, sequences, length, width, [&](int64_t sequence) {
    const int64_t b = sequence / heads, head = sequence % heads;
    const int64_t first = (b * length * heads + head) * width;
    const auto rows = [&](const ConstTensorView& tensor) {
      return HeadRows{.data = element(tensor, first),
                      .stride = heads * width,
                      .bf16 = tensor.dtype() == DType::kBF16};
    };
    return SequenceTask{
        .query = rows(args.query),
        .key = rows(args.key),
        .value = rows(args.value),
        .keys = length,
        .width = width,
        .query_transform = {.factor = args.scale},
        .key_transform = {},
        .bias = args.bias.empty() ? nullptr : args.bias.f32() + head * length * length,
        .key_mask = args.key_mask.empty() ? nullptr : args.key_mask.u8() + b * length,
        .output = element(args.output, first),
        .output_stride = heads * width};
  });
}

}  // namespace engine::cpu
