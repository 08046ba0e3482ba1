// PixArt-alpha: pictures from captions, by DPM-Solver++.
#include "models/pixart/model.h"
#include "pipeline/families.h"
#include "pipeline/image_clip.h"
#include "pipeline/image_family.h"
#include "samplers/dpm_solver.h"

namespace engine {
namespace {

class PixartFamily : public ImageFamily {
 public:
  explicit PixartFamily(const PixartConfig& config) : config_(config) {}

  ModelTraits traits() const override {
    return {.family = "pixart",
            .images_only = true,
            .frames = 1,
            .height = trained_side(),
            .width = trained_side(),
            .fps = 1,
            .guidance = 4.5,
            .samplers = {{.name = "dpm-solver++", .steps = 20}}};
  }
  int64_t text_tokens() const override { return config_.model_max_length; }

  void check_prompts(const std::vector<std::string>&) const override {}
  std::vector<std::string> warnings(const RenderRequest& request) const override {
    const int side = trained_side();
    // A model that is told the size was trained with many.
    if (config_.micro_conditions || (request.height == side && request.width == side)) return {};
    const std::string trained = std::to_string(side) + "x" + std::to_string(side);
    return {"this model was trained with pictures of " + trained + ", not of " +
            std::to_string(request.height) + "x" + std::to_string(request.width)};
  }

  std::vector<float> timesteps(const RenderRequest& request,
                               const CachePolicy& policy) const override {
    return dpm_solver_timesteps(policy.sampler_steps(request.steps));
  }
  bool sampler_keeps_history(const RenderRequest&) const override { return true; }
  uint64_t weights_bytes(DType compute) const override {
    return pixart_weights_bytes(config_, compute);
  }
  std::unique_ptr<ClipModel> load(ModelParts& parts, DType compute) const override {
    return load_pixart_clip(parts, *this, compute);
  }

 protected:
  const JointConfig& joint() const override { return config_.joint; }
  PublishedSettings published(const RenderRequest&) const override {
    return PublishedSettings::kPixartAlpha;
  }
  JointMemory memory(const JointShape& shape, DType compute,
                     const CachePolicy& policy) const override {
    return Pixart::memory(config_, shape, compute, policy);
  }
  uint64_t conditioning_bytes(DType compute) const override {
    return text_bytes(config_.joint.sizes, config_.joint.depth, config_.model_max_length,
                      config_.caption_channels, compute);
  }
  Json own_config() const override {
    return Json::array({config_.caption_channels, config_.model_max_length, config_.position_scale,
                        config_.micro_conditions});
  }

 private:
  PixartConfig config_;
};

}  // namespace

std::unique_ptr<ModelFamily> make_pixart_family(const Json& json, const ModelConfigs&) {
  return std::make_unique<PixartFamily>(parse_pixart_config(json, "transformer/config.json"));
}

}  // namespace engine
