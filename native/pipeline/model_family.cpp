#include "pipeline/model_family.h"

#include <array>

#include "core/quote.h"
#include "engine/error.h"
#include "pipeline/families.h"

namespace engine {
namespace {

// The video VAE's groups: 17 frames become 5 latent ones.
constexpr int64_t kGroupFrames = 17, kGroupLatentFrames = 5, kFramesPerLatent = 4;

const std::string kContext = "transformer/config.json";  // NOLINT: read-only

using MakeFamily = std::unique_ptr<ModelFamily> (*)(const Json&, const ModelConfigs&);

struct KnownModel {
  const char* field;  // of the config
  const char* name;   // what its value begins with
  MakeFamily make;
};

// In the words of the original repositories and of diffusers, whose older class is told by its
// modulation.
constexpr std::array kKnown{
    KnownModel{"model_type", "STDiT3", make_stdit3_family},
    KnownModel{"architecture", "PixArt", make_pixart_family},
    KnownModel{"architecture", "DiT", make_dit_family},
    KnownModel{"_class_name", "PixArtTransformer2DModel", make_pixart_family},
    KnownModel{"_class_name", "DiTTransformer2DModel", make_dit_family},
    KnownModel{"norm_type", "ada_norm_single", make_pixart_family},
    KnownModel{"norm_type", "ada_norm_zero", make_dit_family}};

// What the config calls its model; empty when it does not.
std::string stated_name(const Json& json) {
  for (const char* const field : {"model_type", "architecture", "_class_name"}) {
    const std::string name = json_string_or(json, field, "", kContext);
    if (!name.empty()) return name;
  }
  const auto list = json.find("architectures");
  const bool named = list != json.end() && list->is_array() && !list->empty();
  return named && list->front().is_string() ? list->front().get<std::string>() : "";
}

MakeFamily maker_of(const Json& json) {
  for (const KnownModel& known : kKnown) {
    if (json_string_or(json, known.field, "", kContext).starts_with(known.name)) return known.make;
  }
  const std::string name = stated_name(json);
  if (name.starts_with("STDiT3")) return make_stdit3_family;
  // Originals without a name are told by fields that only they have.
  if (name.empty() && json.contains("input_sq_size")) return make_stdit3_family;
  if (name.empty() && json.contains("num_classes")) return make_dit_family;
  if (name.empty() && json.contains("lewei_scale")) return make_pixart_family;
  const std::string said = name.empty() ? "names no model" : "is of " + quote(name);
  throw Error(ErrorCode::kUnsupported,
              kContext + " " + said +
                  "; known are STDiT3, PixArt (alpha) and DiT, as original "
                  "repositories and diffusers name them");
}

}  // namespace

const char* prompt_kind_name(PromptKind kind) {
  return kind == PromptKind::kText ? "text" : "class";
}

LatentSize latent_size(const RenderRequest& request) {
  const int64_t rest = request.frames % kGroupFrames;
  return {.frames = request.frames / kGroupFrames * kGroupLatentFrames +
                    (rest + kFramesPerLatent - 1) / kFramesPerLatent,
          .height = request.height / kPixelsPerLatent,
          .width = request.width / kPixelsPerLatent};
}

std::unique_ptr<ModelFamily> model_family(const ModelConfigs& configs) {
  const Json json = parse_json(configs.transformer, kContext);
  if (!json.is_object()) {
    throw Error(ErrorCode::kInvalidCheckpoint, kContext + ": the config is no JSON object");
  }
  return maker_of(json)(json, configs);
}

ModelTraits describe_model(const ModelConfigs& configs) {
  return model_family(configs)->traits();
}

std::string chosen_sampler(const ModelTraits& traits, const RenderRequest& request) {
  if (request.sampler.empty()) return traits.samplers.front().name;
  std::string known;
  for (const SamplerTraits& sampler : traits.samplers) {
    if (sampler.name == request.sampler) return sampler.name;
    known += (known.empty() ? "" : ", ") + sampler.name;
  }
  throw Error(ErrorCode::kInvalidArgument,
              "sampler " + quote(request.sampler) + " is not one of this model's; it has " + known);
}

uint64_t text_bytes(const BlockSizes& sizes, int64_t blocks, int64_t tokens,
                    int64_t caption_channels, DType compute) {
  const auto rows = static_cast<uint64_t>(kGuidanceHalves * tokens);
  const auto hidden = static_cast<uint64_t>(sizes.hidden);
  return rows * (static_cast<uint64_t>(blocks) * 2 * hidden * dtype_bytes(compute) +
                 (static_cast<uint64_t>(caption_channels) + 3 * hidden) * sizeof(float));
}

uint64_t latents_bytes(const RenderRequest& request, int64_t channels, int64_t count) {
  const LatentSize size = latent_size(request);
  return sizeof(float) *
         static_cast<uint64_t>(count * channels * size.frames * size.height * size.width);
}

}  // namespace engine
