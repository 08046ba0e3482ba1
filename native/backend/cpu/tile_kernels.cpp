// Pixels to points and sums at points to pixels (tile_kernels.h), compiled once per instruction
// set.
//
// A tile reads 16 pixels, each of which lies in four tiles, and writes 16 points; later it reads 16
// sums and writes 4 pixels. All is computed in fp32 and rounded once. Bound by loads and stores; a
// few percent of the time of the products between them, from 128 channels on.
#include "backend/cpu/tile_kernels.h"

#include "backend/cpu/float_vector.h"

namespace engine::cpu::TOCAFARM_ISA {

namespace {

#if defined(__AVX512BF16__)
TOCAFARM_INLINE void put(uint16_t* to, Vec value) {
  const __m256bh half = _mm512_cvtneps_pbh(value);
  __builtin_memcpy(to, &half, sizeof half);
}
#else
TOCAFARM_INLINE void put(uint16_t* to, Vec value) {
  store(to, value);
}
#endif
TOCAFARM_INLINE void put(float* to, Vec value) {
  store(to, value);
}

// What is left of a row at its end is read and written by its count.
template <typename Number>
TOCAFARM_INLINE Vec get_first(const Number* from, int64_t count) {
  return count >= kLanes ? load(from) : load_first(from, count);
}
template <typename Number>
TOCAFARM_INLINE void put_first(Number* to, Vec value, int64_t count) {
  if (count >= kLanes) return put(to, value);
  Number lanes[kLanes];
  put(lanes, value);
  for (int64_t i = 0; i < count; ++i) to[i] = lanes[i];
}

// Four pixels to four points along one axis, kStep apart in both.
template <int kStep>
TOCAFARM_INLINE void split_axis(Vec* d) {
  const Vec second = d[kStep], third = d[2 * kStep];
  d[0] -= third;
  d[kStep] = second + third;
  d[2 * kStep] = third - second;
  d[3 * kStep] = second - d[3 * kStep];
}

// Four points to two pixels along one axis.
template <int kStep>
TOCAFARM_INLINE void join_axis(Vec* m) {
  const Vec second = m[kStep], third = m[2 * kStep];
  m[0] = m[0] + second + third;
  m[kStep] = second - third - m[3 * kStep];
}

template <typename Number>
TOCAFARM_INLINE void split_vector(const Number* const* pixels, int64_t channel, int64_t count,
                                  Number* values, int64_t point_stride) {
  Vec d[kTilePixels];
#pragma GCC unroll 16
  for (int i = 0; i < kTilePixels; ++i) d[i] = get_first(pixels[i] + channel, count);
#pragma GCC unroll 4
  for (int line = 0; line < 4; ++line) split_axis<1>(d + line * 4);
#pragma GCC unroll 4
  for (int column = 0; column < 4; ++column) split_axis<4>(d + column);
#pragma GCC unroll 16
  for (int i = 0; i < kTilePoints; ++i) put_first(values + i * point_stride + channel, d[i], count);
}

template <typename Number>
void split_tiles(const TileInput& input) {
  const auto* const* pixels = reinterpret_cast<const Number* const*>(input.pixels);
  const int64_t whole = input.channels / kLanes * kLanes;
  for (int64_t tile = 0; tile < input.tiles; ++tile, pixels += kTilePixels) {
    Number* const values = static_cast<Number*>(input.values) + tile * input.channels;
    for (int64_t channel = 0; channel < whole; channel += kLanes) {
      split_vector(pixels, channel, kLanes, values, input.point_stride);
    }
    if (whole < input.channels) {
      split_vector(pixels, whole, input.channels - whole, values, input.point_stride);
    }
  }
}

void split(const TileInput& input) {
  if (input.bf16) return split_tiles<uint16_t>(input);
  split_tiles<float>(input);
}

template <typename Number>
TOCAFARM_INLINE void join_vector(const TileOutput& output, int64_t tile, int64_t column) {
  const float* const sums = output.sums + tile * output.tile_stride + column;
  Vec m[kTilePoints];
#pragma GCC unroll 16
  for (int i = 0; i < kTilePoints; ++i) m[i] = load(sums + i * output.point_stride);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) join_axis<4>(m + i);
#pragma GCC unroll 2
  for (int line = 0; line < 2; ++line) join_axis<1>(m + line * 4);
  const Vec bias = load(output.bias + column);
  const int64_t left = output.columns - column;
#pragma GCC unroll 4
  for (int i = 0; i < kTileOutputs; ++i) {
    const int64_t place = output.places[tile * kTileOutputs + i];
    if (place < 0) continue;
    const int64_t at = place * output.output_stride + column;
    Vec value = m[i / 2 * 4 + i % 2] + bias;
    if (output.residual != nullptr) {
      value += get_first(static_cast<const Number*>(output.residual) + at, left);
    }
    put_first(static_cast<Number*>(output.output) + at, value, left);
  }
}

template <typename Number>
void join_tiles(const TileOutput& output) {
  for (int64_t tile = 0; tile < output.tiles; ++tile) {
    for (int64_t column = 0; column < output.columns; column += kLanes) {
      join_vector<Number>(output, tile, column);
    }
  }
}

void join(const TileOutput& output) {
  if (output.output_bf16) return join_tiles<uint16_t>(output);
  join_tiles<float>(output);
}

}  // namespace

extern const TileKernels tile_kernels;
const TileKernels tile_kernels{split, join};

}  // namespace engine::cpu::TOCAFARM_ISA
