#include "pipeline/image_family.h"

#include "engine/error.h"
#include "models/image_vae/config.h"

namespace engine {
namespace {

// The latent, here and on its way here, and at most three that a sampler keeps.
constexpr int64_t kLatentsKept = 5;

}  // namespace

JointShape joint_shape(const RenderRequest& request) {
  const LatentSize size = latent_size(request);
  return {.clips = 1,
          .guided = true,
          .latent_height = size.height,
          .latent_width = size.width,
          .text_tokens_nominal = request.text_tokens_nominal};
}

void ImageFamily::check(const RenderRequest& request) const {
  if (request.frames != 1) {
    throw Error(ErrorCode::kInvalidArgument, "frames " + std::to_string(request.frames) +
                                                 ": this model renders single images; ask for 1");
  }
  chosen_sampler(traits(), request);
}

std::vector<std::string> ImageFamily::warnings(const RenderRequest&) const {
  return {};
}

PolicyContext ImageFamily::policy_context(const RenderRequest& request) const {
  return {.steps = request.steps,
          .depth = joint().depth,
          .tokens = grid(request).tokens(),
          .temporal_blocks = false,
          .cross_attention = joint().cross_attention,
          .published = published(request)};
}

TokenGrid ImageFamily::grid(const RenderRequest& request) const {
  return token_grid(joint(), joint_shape(request));
}

std::vector<LayerModule> ImageFamily::layer() const {
  std::vector<LayerModule> modules{{BlockKind::kJoint, Module::kSelfAttention}};
  if (joint().cross_attention) modules.push_back({BlockKind::kJoint, Module::kCrossAttention});
  modules.push_back({BlockKind::kJoint, Module::kMlp});
  return modules;
}

DenoiseBytes ImageFamily::denoise_bytes(const RenderRequest& request, DType compute,
                                        const CachePolicy& policy) const {
  const JointMemory bytes = memory(joint_shape(request), compute, policy);
  return {.cache = bytes.cache_bytes,
          .other = bytes.workspace_bytes + conditioning_bytes(compute) +
                   latents_bytes(request, joint().in_channels, kLatentsKept)};
}

VaeBytes ImageFamily::vae_bytes(const Json& vae, DType compute,
                                const RenderRequest* request) const {
  const ImageVaeConfig config = parse_image_vae_config(vae, "vae/config.json");
  VaeBytes bytes{.weights = image_vae_weights_bytes(config, compute)};
  if (request == nullptr) return bytes;
  const LatentSize size = latent_size(*request);
  bytes.decode = image_vae_peak_bytes(config, compute, kPixelsPerLatent * size.height,
                                      kPixelsPerLatent * size.width);
  return bytes;
}

Json ImageFamily::identity(const RenderRequest& request) const {
  const JointConfig& config = joint();
  return {{"config",
           {config.sizes.hidden, config.sizes.heads, config.sizes.mlp_hidden, config.depth,
            config.in_channels, config.out_channels, config.patch, config.input_size}},
          {"own", own_config()},
          {"request", {request.height, request.width, request.guidance}}};
}

}  // namespace engine
