#include "models/image_vae/config.h"

#include "core/quote.h"
#include "engine/error.h"
#include "models/image_vae/model.h"

namespace engine {

namespace {

void refuse_setting(const Json& json, const char* field, const std::string& context) {
  const auto found = json.find(field);
  if (found == json.end() || found->is_null()) return;
  throw Error(ErrorCode::kUnsupported,
              context + ": " + field +
                  " is set; only VAEs that scale all latents by one factor "
                  "are supported");
}

}  // namespace

ImageVaeConfig parse_image_vae_config(const Json& json, const std::string& context) {
  if (!json.is_object()) {
    throw Error(ErrorCode::kInvalidCheckpoint, context + ": the config is no JSON object");
  }
  const std::string kind = json_string_or(json, "_class_name", "AutoencoderKL", context);
  if (kind != "AutoencoderKL") {
    throw Error(ErrorCode::kUnsupported,
                context + ": _class_name is " + quote(kind) + "; only AutoencoderKL is supported");
  }
  for (const char* const field : {"shift_factor", "latents_mean", "latents_std"}) {
    refuse_setting(json, field, context);
  }
  ImageVaeConfig config;
  config.network = parse_spatial_vae_config(json, context);
  config.scaling_factor = json_number_or(json, "scaling_factor", config.scaling_factor, context);
  if (!(config.scaling_factor > 0)) {
    throw Error(ErrorCode::kInvalidCheckpoint, context + ": scaling_factor must be above 0");
  }
  return config;
}

ImageVaeConfig read_image_vae_config(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "config.json";
  return parse_image_vae_config(read_json_file(file), file.string());
}

uint64_t image_vae_weights_bytes(const ImageVaeConfig& config, DType compute) {
  return network_weight_bytes(image_decoder(config, compute));
}

uint64_t image_vae_peak_bytes(const ImageVaeConfig& config, DType compute, int64_t height,
                              int64_t width) {
  const int64_t factor = config.network.factor();
  const VaeNetwork network = image_decoder(config, compute);
  const FrameExtent latent{1, height / factor, width / factor};
  const FrameExtent pixels = network_output(network, latent);
  uint64_t bytes = 0;
  for (const uint64_t buffer : vae_buffer_bytes(network, latent)) bytes += buffer;
  const auto count = [](const FrameExtent& extent, int64_t channels) {
    return static_cast<uint64_t>(extent.frames * extent.height * extent.width * channels);
  };
  // 8-bit pictures lie on the device and on the host.
  return bytes + count(latent, config.network.latent_channels) * sizeof(float) +
         count(pixels, config.network.out_channels) * (sizeof(float) + 2);
}

}  // namespace engine
