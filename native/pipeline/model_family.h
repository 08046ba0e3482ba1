// What plan and engine must know of a kind of transformer before any weight is read: what it can
// render, its blocks, its sampler's times, and what it allocates. One file for each kind.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cache/cache_policy.h"
#include "core/json.h"
#include "engine/engine.h"
#include "models/transformer/sizes.h"
#include "pipeline/clip_model.h"
#include "pipeline/model_parts.h"

namespace engine {

// A latent pixel stands for so many pixels in each direction.
inline constexpr int64_t kPixelsPerLatent = 8;
// Rows of every batch: with the prompt, and without it.
inline constexpr int64_t kGuidanceHalves = 2;
// Of them those that a module computes.
inline int64_t computed_halves(Decision decision) {
  return decision == Decision::kConditional ? 1 : kGuidanceHalves;
}

// Latent frames, rows and columns of a request.
struct LatentSize {
  int64_t frames = 0;
  int64_t height = 0;
  int64_t width = 0;
};
// Every whole group of 17 frames gives 5 latent frames, a remainder r gives ceil(r / 4); height and
// width are floor(pixels / 8).
LatentSize latent_size(const RenderRequest& request);

// A module of a layer.
struct LayerModule {
  BlockKind block = BlockKind::kSpatial;
  Module module = Module::kSelfAttention;
};

// What denoising keeps beside the weights.
struct DenoiseBytes {
  uint64_t cache = 0;  // of the policy
  uint64_t other = 0;  // workspace, text, latents
};

// What a VAE's config tells of it.
struct VaeBytes {
  uint64_t weights = 0;
  uint64_t decode = 0;  // workspace; 0 without a request
};

class ModelFamily {
 public:
  virtual ~ModelFamily() = default;

  virtual ModelTraits traits() const = 0;
  // Tokens that a prompt is padded and cut to; 0: prompts are classes.
  virtual int64_t text_tokens() const = 0;
  // Throws Error(kInvalidArgument) for a request that this model cannot render, whatever its
  // prompt.
  virtual void check(const RenderRequest& request) const = 0;
  // Throws Error(kInvalidArgument) for the first prompt that this model cannot render.
  virtual void check_prompts(const std::vector<std::string>& prompts) const = 0;
  virtual std::vector<std::string> warnings(const RenderRequest& request) const = 0;

  virtual PolicyContext policy_context(const RenderRequest& request) const = 0;
  virtual BlockSizes block_sizes() const = 0;
  virtual TokenGrid grid(const RenderRequest& request) const = 0;
  // In order of execution.
  virtual std::vector<LayerModule> layer() const = 0;
  virtual int64_t latent_channels() const = 0;

  // What the model is asked at each step, 0 .. 1000.
  virtual std::vector<float> timesteps(const RenderRequest& request,
                                       const CachePolicy& policy) const = 0;
  // Whether the sampler needs more of the last step than the latent.
  virtual bool sampler_keeps_history(const RenderRequest& request) const = 0;

  virtual uint64_t weights_bytes(DType compute) const = 0;
  virtual DenoiseBytes denoise_bytes(const RenderRequest& request, DType compute,
                                     const CachePolicy& policy) const = 0;
  // `request` may be null.
  virtual VaeBytes vae_bytes(const Json& vae, DType compute,
                             const RenderRequest* request) const = 0;

  // The model in memory; the family must outlive it, and so must `parts`. Throws as
  // Engine::load().
  virtual std::unique_ptr<ClipModel> load(ModelParts& parts, DType compute) const = 0;

  // All of config and request that decides the bits beside steps, policy, seed and prompt.
  virtual Json identity(const RenderRequest& request) const = 0;
};

// The family that the configs are of. Throws as describe_model().
std::unique_ptr<ModelFamily> model_family(const ModelConfigs& configs);

// The sampler that a request means. Throws Error(kInvalidArgument) for one that the model was not
// published with.
std::string chosen_sampler(const ModelTraits& traits, const RenderRequest& request);

// Keys and values of the longest caption for all blocks, and the projection they are made from.
uint64_t text_bytes(const BlockSizes& sizes, int64_t blocks, int64_t tokens,
                    int64_t caption_channels, DType compute);
// `count` fp32 latents of the request.
uint64_t latents_bytes(const RenderRequest& request, int64_t channels, int64_t count);

}  // namespace engine
