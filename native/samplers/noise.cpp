#include "samplers/noise.h"

#include "core/check.h"
#include "core/philox.h"

namespace engine {

namespace {

void fill(TensorView values, uint64_t seed, uint64_t stream) {
  check(values.dtype() == DType::kF32 && values.shape().rank() == 5, "noise is [n, C, T, H, W]");
  const int64_t clips = values.dim(0);
  const size_t each = static_cast<size_t>(clips == 0 ? 0 : values.elements() / clips);
  for (int64_t clip = 0; clip < clips; ++clip) {
    fill_normal({values.rows(clip, 1).f32(), each}, seed + static_cast<uint64_t>(clip), stream);
  }
}

}  // namespace

void fill_initial_latent(TensorView latent, uint64_t seed) {
  fill(latent, seed, kInitialLatentStream);
}

void fill_step_noise(TensorView noise, uint64_t seed, int step) {
  fill(noise, seed, kStepNoiseStream + static_cast<uint64_t>(step));
}

}  // namespace engine
