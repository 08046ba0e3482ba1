// DiT: pictures of a class, by DDIM or DDPM.
#include "engine/error.h"
#include "models/dit/labels.h"
#include "models/dit/model.h"
#include "pipeline/families.h"
#include "pipeline/image_clip.h"
#include "pipeline/image_family.h"
#include "samplers/diffusion_schedule.h"

namespace engine {
namespace {

class DitFamily : public ImageFamily {
 public:
  DitFamily(const DitConfig& config, const ModelConfigs& configs)
      : config_(config), model_index_(configs.model_index) {
    if (config.null_class) return;
    throw Error(ErrorCode::kUnsupported,
                "transformer/config.json: class_dropout_prob is 0, so the model has no null class "
                "and takes no guidance; only guided models are supported");
  }

  ModelTraits traits() const override {
    return {.family = "dit",
            .prompt = PromptKind::kClass,
            .images_only = true,
            .fixed_size = true,
            .frames = 1,
            .height = trained_side(),
            .width = trained_side(),
            .fps = 1,
            .guidance = 4,
            .samplers = {{.name = "ddim", .steps = 50}, {.name = "ddpm", .steps = 250}}};
  }
  int64_t text_tokens() const override { return 0; }

  void check(const RenderRequest& request) const override {
    ImageFamily::check(request);
    const LatentSize size = latent_size(request);
    const int64_t side = config_.joint.input_size;
    if (size.height != side || size.width != side) {
      const std::string pixels = std::to_string(trained_side());
      throw Error(ErrorCode::kInvalidArgument, "height " + std::to_string(request.height) +
                                                   " and width " + std::to_string(request.width) +
                                                   ": this model renders pictures of " + pixels +
                                                   "x" + pixels + " alone; ask for these");
    }
  }
  void check_prompts(const std::vector<std::string>& prompts) const override {
    const DitLabels labels = read_dit_labels(model_index_, config_);
    for (const std::string& prompt : prompts) labels.label(prompt);
  }

  std::vector<float> timesteps(const RenderRequest& request,
                               const CachePolicy& policy) const override {
    const std::vector<int> ascending = respaced_timesteps(policy.sampler_steps(request.steps));
    return {ascending.rbegin(), ascending.rend()};
  }
  bool sampler_keeps_history(const RenderRequest&) const override { return false; }
  uint64_t weights_bytes(DType compute) const override {
    return dit_weights_bytes(config_, compute);
  }
  std::unique_ptr<ClipModel> load(ModelParts& parts, DType compute) const override {
    return load_dit_clip(parts, *this, model_index_, compute);
  }

 protected:
  const JointConfig& joint() const override { return config_.joint; }
  PublishedSettings published(const RenderRequest& request) const override {
    return chosen_sampler(traits(), request) == "ddpm" ? PublishedSettings::kDitDdpm
                                                       : PublishedSettings::kDitDdim;
  }
  JointMemory memory(const JointShape& shape, DType compute,
                     const CachePolicy& policy) const override {
    return Dit::memory(config_, shape, compute, policy);
  }
  uint64_t conditioning_bytes(DType) const override { return 0; }  // a label
  Json own_config() const override { return Json::array({config_.classes}); }

 private:
  DitConfig config_;
  std::string model_index_;
};

}  // namespace

std::unique_ptr<ModelFamily> make_dit_family(const Json& json, const ModelConfigs& configs) {
  return std::make_unique<DitFamily>(parse_dit_config(json, "transformer/config.json"), configs);
}

}  // namespace engine
