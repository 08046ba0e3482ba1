// What a render will do and need, worked out from the model's configs and the request alone.
#pragma once

#include "engine/plan.h"
#include "pipeline/model_family.h"

namespace engine {

// Bytes that the transformer's config does not tell.
struct PlanBytes {
  uint64_t weights = 0;        // of the VAE
  uint64_t decode = 0;         // workspace of decoding
  uint64_t text_encoder = 0;   // its weights
  uint64_t text_encoding = 0;  // its workspace
};

// Pure. `dtype`: what the transformer computes in. Throws Error(kInvalidArgument) for an unknown
// policy, option or sampler.
Plan make_plan(const ModelFamily& family, const RenderRequest& request, DType dtype,
               const PlanBytes& bytes);

}  // namespace engine
