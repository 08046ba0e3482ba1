// STDiT3 (Open-Sora v1.2): clips from captions, by rectified flow. A layer is a spatial and a
// temporal block.
#include "models/video_vae/workspace.h"
#include "pipeline/families.h"
#include "pipeline/stdit3_clip.h"
#include "pipeline/stdit3_shape.h"

namespace engine {
namespace {

constexpr int kGroupFrames = 17;

class STDiT3Family : public ModelFamily {
 public:
  explicit STDiT3Family(const STDiT3Config& config) : config_(config) {}

  // Open-Sora v1.2's inference configuration.
  ModelTraits traits() const override {
    return {.family = "stdit3",
            .frames = 51,
            .height = 240,
            .width = 426,
            .fps = 24,
            .guidance = 7,
            .samplers = {{.name = "rflow", .steps = 30}}};
  }
  int64_t text_tokens() const override { return config_.model_max_length; }

  void check(const RenderRequest& request) const override { chosen_sampler(traits(), request); }
  void check_prompts(const std::vector<std::string>&) const override {}

  std::vector<std::string> warnings(const RenderRequest& request) const override {
    const std::string frames = std::to_string(request.frames) + " frames";
    if (request.frames == 1) return {};
    if (request.frames < kGroupFrames) {
      return {frames +
              " are fewer than the 17 that the time transform counts in: their latent "
              "frames are counted instead"};
    }
    if (request.frames % kGroupFrames == 0) return {};
    return {frames + " are no multiple of 17, the length that models are trained in"};
  }

  PolicyContext policy_context(const RenderRequest& request) const override {
    return {.steps = request.steps,
            .depth = config_.depth,
            .tokens = grid(request).tokens(),
            .temporal_blocks = true,
            .time_shift = static_cast<double>(timestep_shift(asked_times(request)))};
  }
  BlockSizes block_sizes() const override { return config_.block_sizes(); }
  TokenGrid grid(const RenderRequest& request) const override {
    const LatentSize size = latent_size(request);
    return token_grid(config_, size.frames, size.height, size.width);
  }
  std::vector<LayerModule> layer() const override {
    std::vector<LayerModule> modules;
    for (const BlockKind block : {BlockKind::kSpatial, BlockKind::kTemporal}) {
      for (const Module module : {Module::kSelfAttention, Module::kCrossAttention, Module::kMlp}) {
        modules.push_back({block, module});
      }
    }
    return modules;
  }
  int64_t latent_channels() const override { return config_.in_channels; }

  std::vector<float> timesteps(const RenderRequest& request,
                               const CachePolicy& policy) const override {
    return rectified_flow_timesteps(visited_times(request, policy));
  }
  bool sampler_keeps_history(const RenderRequest&) const override { return false; }

  uint64_t weights_bytes(DType compute) const override {
    return stdit3_weights_bytes(config_, compute);
  }
  DenoiseBytes denoise_bytes(const RenderRequest& request, DType compute,
                             const CachePolicy& policy) const override {
    const STDiT3::Memory memory = STDiT3::memory(config_, stdit3_shape(request), compute, policy);
    // The latent lies on the device and, on its way there, on the host.
    return {.cache = memory.cache_bytes,
            .other = memory.workspace_bytes +
                     text_bytes(config_.block_sizes(), config_.blocks(), config_.model_max_length,
                                config_.caption_channels, compute) +
                     latents_bytes(request, config_.in_channels, 2)};
  }
  VaeBytes vae_bytes(const Json& vae, DType compute, const RenderRequest* request) const override {
    const VideoVaeConfig config = parse_vae_config(vae, "vae/config.json");
    VaeBytes bytes{.weights = vae_weights_bytes(config, compute, /*with_encoder=*/false)};
    if (request == nullptr) return bytes;
    bytes.decode =
        vae_peak_bytes(config, compute, request->frames, request->height, request->width);
    return bytes;
  }

  std::unique_ptr<ClipModel> load(ModelParts& parts, DType compute) const override {
    return load_stdit3_clip(parts, compute);
  }

  Json identity(const RenderRequest& request) const override {
    return {{"config",
             {config_.hidden, config_.heads, config_.depth, config_.mlp_hidden,
              config_.caption_channels, config_.model_max_length, config_.in_channels,
              config_.out_channels, config_.patch[0], config_.patch[1], config_.patch[2],
              config_.input_sq_size, config_.qk_norm}},
            {"request",
             {request.frames, request.height, request.width, request.fps, request.guidance}}};
  }

 private:
  STDiT3Config config_;
};

}  // namespace

std::unique_ptr<ModelFamily> make_stdit3_family(const Json& json, const ModelConfigs&) {
  return make_stdit3_family(parse_stdit3_config(json, "transformer/config.json"));
}

std::unique_ptr<ModelFamily> make_stdit3_family(const STDiT3Config& config) {
  return std::make_unique<STDiT3Family>(config);
}

}  // namespace engine
