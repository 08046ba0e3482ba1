// What a render will do and need, worked out from the transformer's config and the request alone.
#pragma once

#include "cache/cache_policy.h"
#include "engine/plan.h"
#include "models/stdit3/weights.h"

namespace engine {

// Latent frames, rows and columns of a request.
struct LatentSize {
  int64_t frames = 0;
  int64_t height = 0;
  int64_t width = 0;
};
// Every whole group of 17 frames gives 5 latent frames, a remainder r gives ceil(r / 4); height and
// width are floor(pixels / 8).
LatentSize latent_size(const RenderRequest& request);

PolicyContext policy_context(const STDiT3Config& config, const RenderRequest& request);

// Bytes that the transformer's config does not tell.
struct PlanBytes {
  uint64_t weights = 0;              // of text encoder and VAE
  uint64_t largest_other_stage = 0;  // workspace of text encoding or decoding, whichever is more
};

// Pure. `dtype`: what the transformer computes in. Throws Error(kInvalidArgument) for an unknown
// policy or option.
Plan make_plan(const STDiT3Config& config, const RenderRequest& request, DType dtype,
               const PlanBytes& bytes);

}  // namespace engine
