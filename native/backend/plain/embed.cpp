// Patches in and out, embeddings of times, text tokens and positions.
#include <cmath>

#include "backend/plain/element.h"
#include "backend/plain/operations.h"
#include "backend/shapes.h"
#include "engine/error.h"

namespace engine::plain {

namespace {

// Calls visit(latent element or -1 for padding, token row, channel, place in the patch) for every
// value of the padded latent.
template <typename Visit>
void for_each_patch_value(const Shape& latent, const std::array<int64_t, 3>& patch, Visit visit) {
  const int64_t grid_t = (latent[2] + patch[0] - 1) / patch[0];
  const int64_t grid_h = (latent[3] + patch[1] - 1) / patch[1];
  const int64_t grid_w = (latent[4] + patch[2] - 1) / patch[2];
  for (int64_t b = 0; b < latent[0]; ++b) {
    for (int64_t c = 0; c < latent[1]; ++c) {
      for (int64_t t = 0; t < grid_t * patch[0]; ++t) {
        for (int64_t h = 0; h < grid_h * patch[1]; ++h) {
          for (int64_t w = 0; w < grid_w * patch[2]; ++w) {
            const bool inside = t < latent[2] && h < latent[3] && w < latent[4];
            const int64_t element =
                (((b * latent[1] + c) * latent[2] + t) * latent[3] + h) * latent[4] + w;
            const int64_t token =
                ((b * grid_t + t / patch[0]) * grid_h + h / patch[1]) * grid_w + w / patch[2];
            const int64_t place =
                ((t % patch[0]) * patch[1] + h % patch[1]) * patch[2] + w % patch[2];
            visit(inside ? element : -1, token, c, place);
          }
        }
      }
    }
  }
}

}  // namespace

void patchify(const PatchifyArgs& args) {
  check_args(args);
  const int64_t volume = args.patch[0] * args.patch[1] * args.patch[2];
  const int64_t channels = args.latent.dim(1);
  for_each_patch_value(args.latent.shape(), args.patch,
                       [&](int64_t element, int64_t token, int64_t channel, int64_t place) {
                         store(args.output, (token * channels + channel) * volume + place,
                               element < 0 ? 0.0 : static_cast<double>(args.latent.f32()[element]));
                       });
}

void unpatchify(const UnpatchifyArgs& args) {
  check_args(args);
  const int64_t volume = args.patch[0] * args.patch[1] * args.patch[2];
  const int64_t channels = args.output.dim(1);
  for_each_patch_value(args.output.shape(), args.patch,
                       [&](int64_t element, int64_t token, int64_t channel, int64_t place) {
                         if (element < 0) return;
                         args.output.f32()[element] =
                             args.tokens.f32()[(token * volume + place) * channels + channel];
                       });
}

void timestep_embedding(const TimestepEmbeddingArgs& args) {
  check_args(args);
  const int64_t half = args.output.dim(1) / 2;
  for (int64_t b = 0; b < args.values.dim(0); ++b) {
    for (int64_t i = 0; i < half; ++i) {
      const double exponent = -std::log(static_cast<double>(args.max_period)) *
                              static_cast<double>(i) / static_cast<double>(half);
      // Angles of up to 1000 radians: the rounding of the frequency to float32 is part of what the
      // published models were trained with.
      const float angle = args.values.f32()[b] * static_cast<float>(std::exp(exponent));
      store(args.output, b * 2 * half + i, std::cos(static_cast<double>(angle)));
      store(args.output, (b * 2 + 1) * half + i, std::sin(static_cast<double>(angle)));
    }
  }
}

void token_embedding(const TokenEmbeddingArgs& args) {
  check_args(args);
  const int64_t channels = args.table.dim(1);
  for (int64_t r = 0; r < args.ids.dim(0); ++r) {
    const int64_t id = args.ids.i32()[r];
    if (id < 0 || id >= args.table.dim(0)) {
      throw Error(ErrorCode::kInternal, "token_embedding: id " + std::to_string(id) +
                                            " is outside the vocabulary of " +
                                            std::to_string(args.table.dim(0)));
    }
    for (int64_t c = 0; c < channels; ++c) {
      args.output.f32()[r * channels + c] = load(args.table, id * channels + c);
    }
  }
}

void add_rows(const AddRowsArgs& args) {
  check_args(args);
  const int64_t table = args.table.elements();
  for (int64_t i = 0; i < args.output.elements(); ++i) {
    args.output.f32()[i] += args.table.f32()[i % table];
  }
}

}  // namespace engine::plain
