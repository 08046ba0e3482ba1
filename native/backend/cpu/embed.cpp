// Patches in and out, embeddings of times, text tokens and positions. All small beside a block's
// products: rows between threads, plain loops inside.
#include "backend/cpu/embed.h"

#include <cmath>

#include "backend/cpu/parallel.h"
#include "backend/cpu/row_kernels.h"
#include "backend/shapes.h"
#include "engine/error.h"

namespace engine::cpu {

namespace {

// Where the values of one token lie in a latent [B, C, T, H, W].
struct TokenGrid {
  TokenGrid(const Shape& shape, const std::array<int64_t, 3>& patch_sizes)
      : latent(shape),
        patch(patch_sizes),
        height((shape[3] + patch[1] - 1) / patch[1]),
        width((shape[4] + patch[2] - 1) / patch[2]),
        tokens((shape[2] + patch[0] - 1) / patch[0] * height * width) {}

  // Calls visit(channel, place in the patch, element of the latent or -1 for padding) for each
  // value of a token, which is counted over all batch rows.
  template <typename Visit>
  void for_values(int64_t token, Visit visit) const {
    const int64_t b = token / tokens, t = token % tokens / (height * width);
    const int64_t h = token / width % height, w = token % width;
    for (int64_t place = 0; place < volume(); ++place) {
      const int64_t at_t = t * patch[0] + place / (patch[1] * patch[2]);
      const int64_t at_h = h * patch[1] + place / patch[2] % patch[1];
      const int64_t at_w = w * patch[2] + place % patch[2];
      const bool inside = at_t < latent[2] && at_h < latent[3] && at_w < latent[4];
      const int64_t pixel = (at_t * latent[3] + at_h) * latent[4] + at_w;
      for (int64_t c = 0; c < latent[1]; ++c) {
        const int64_t plane = (b * latent[1] + c) * latent[2] * latent[3] * latent[4];
        visit(c, place, inside ? plane + pixel : int64_t{-1});
      }
    }
  }

  int64_t volume() const { return patch[0] * patch[1] * patch[2]; }
  int64_t values() const { return latent[1] * volume(); }  // of one token

  Shape latent;
  std::array<int64_t, 3> patch;
  int64_t height, width;  // in tokens
  int64_t tokens;         // of one batch row
};

}  // namespace

void patchify(const CpuContext& context, const PatchifyArgs& args) {
  check_args(args);
  const TokenGrid grid(args.latent.shape(), args.patch);
  const bool bf16 = args.output.dtype() == DType::kBF16;
  const auto work = [&](int64_t begin, int64_t end) {
    for (int64_t token = begin; token < end; ++token) {
      grid.for_values(token, [&](int64_t c, int64_t place, int64_t element) {
        const float value = element < 0 ? 0.0f : args.latent.f32()[element];
        const int64_t to = token * grid.values() + c * grid.volume() + place;
        if (bf16) {
          args.output.bf16()[to] = bf16_from_float(value);
        } else {
          args.output.f32()[to] = value;
        }
      });
    }
  };
  parallel_ranges(context, args.output.dim(0) * grid.tokens, grid.values() * 16, work);
}

void unpatchify(const CpuContext& context, const UnpatchifyArgs& args) {
  check_args(args);
  const TokenGrid grid(args.output.shape(), args.patch);
  const int64_t channels = args.output.dim(1);
  const auto work = [&](int64_t begin, int64_t end) {
    for (int64_t token = begin; token < end; ++token) {
      const float* from = args.tokens.f32() + token * grid.values();
      grid.for_values(token, [&](int64_t c, int64_t place, int64_t element) {
        if (element >= 0) args.output.f32()[element] = from[place * channels + c];
      });
    }
  };
  parallel_ranges(context, args.tokens.dim(0) * grid.tokens, grid.values() * 16, work);
}

// The frequency is rounded to float, and so is the angle of up to thousands of radians: part of
// what the published models were trained with. Sine and cosine are then those of that angle.
void timestep_embedding(const CpuContext&, const TimestepEmbeddingArgs& args) {
  check_args(args);
  const int64_t half = args.output.dim(1) / 2;
  const double log_period = std::log(static_cast<double>(args.max_period));
  for (int64_t b = 0; b < args.values.dim(0); ++b) {
    float* row = args.output.f32() + b * 2 * half;
    for (int64_t i = 0; i < half; ++i) {
      const double exponent = -log_period * static_cast<double>(i) / static_cast<double>(half);
      const float angle = args.values.f32()[b] * static_cast<float>(std::exp(exponent));
      row[i] = static_cast<float>(std::cos(static_cast<double>(angle)));
      row[half + i] = static_cast<float>(std::sin(static_cast<double>(angle)));
    }
  }
}

void token_embedding(const CpuContext& context, const TokenEmbeddingArgs& args) {
  check_args(args);
  const int64_t channels = args.table.dim(1);
  for (int64_t r = 0; r < args.ids.dim(0); ++r) {
    const int64_t id = args.ids.i32()[r];
    if (id < 0 || id >= args.table.dim(0)) {
      throw Error(ErrorCode::kInternal, "token_embedding: id " + std::to_string(id) +
                                            " is outside the vocabulary of " +
                                            std::to_string(args.table.dim(0)));
    }
    float* to = args.output.f32() + r * channels;
    if (args.table.dtype() == DType::kF16) {
      const auto* from = static_cast<const uint16_t*>(args.table.data()) + id * channels;
      for (int64_t c = 0; c < channels; ++c) to[c] = float_from_f16(from[c]);
    } else {
      pointwise_kernels(context.isa).convert(row_of(args.table, id * channels), {to}, channels);
    }
  }
}

void add_rows(const CpuContext& context, const AddRowsArgs& args) {
  check_args(args);
  const int64_t inner = args.output.dim(1), channels = args.output.dim(2);
  const auto work = [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* to = args.output.f32() + r * channels;
      pointwise_kernels(context.isa).add(to, args.table.f32() + r % inner * channels, to, channels);
    }
  };
  parallel_ranges(context, args.output.dim(0) * inner, channels * 12, work);
}

}  // namespace engine::cpu
