#include "models/video_vae/config.h"

#include <algorithm>

#include "engine/error.h"

namespace engine {
namespace {

// Bounds far above any published VAE and low enough that no product of sizes overflows.
constexpr int64_t kMaxChannels = 1 << 16;
constexpr int64_t kMaxLevels = 8;
constexpr int64_t kMaxBlocks = 64;
constexpr int64_t kMaxFrames = 1 << 12;

[[noreturn]] void fail(const std::string& context, const std::string& what,
                       ErrorCode code = ErrorCode::kInvalidCheckpoint) {
  throw Error(code, context + ": " + what);
}

const Json& object_or_empty(const Json& json, const char* key, const std::string& context) {
  static const Json kEmpty = Json::object();
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return kEmpty;
  if (!found->is_object()) fail(context, std::string(key) + " is not an object");
  return *found;
}

// An array of `key` whose elements `read` accepts; `fallback` when it is absent.
template <class Value, class Read>
std::vector<Value> array_or(const Json& json, const char* key, std::vector<Value> fallback,
                            const std::string& context, Read read) {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return fallback;
  if (!found->is_array() || found->empty() || found->size() > kMaxLevels) {
    fail(context, std::string(key) + " is not an array of 1 to " + std::to_string(kMaxLevels));
  }
  std::vector<Value> values;
  for (const Json& element : *found) {
    if (!read(element, values)) fail(context, std::string(key) + " holds " + element.dump());
  }
  return values;
}

bool read_positive(const Json& element, std::vector<int64_t>& values) {
  if (!element.is_number_integer()) return false;
  const auto value = element.get<int64_t>();
  values.push_back(value);
  return value >= 1 && value <= kMaxChannels;
}

bool read_bool(const Json& element, std::vector<bool>& values) {
  if (!element.is_boolean()) return false;
  values.push_back(element.get<bool>());
  return true;
}

bool read_number(const Json& element, std::vector<float>& values) {
  if (!element.is_number()) return false;
  values.push_back(element.get<float>());
  return true;
}

void check_groups(int64_t channels, int64_t groups, const std::string& context) {
  if (channels % groups == 0) return;
  fail(context, std::to_string(channels) + " channels do not divide into " +
                    std::to_string(groups) + " norm groups");
}

void check_type(const Json& json, const char* key, std::initializer_list<const char*> known,
                const std::string& context) {
  const std::string type = json_string_or(json, key, *known.begin(), context);
  if (std::find(known.begin(), known.end(), type) != known.end()) return;
  fail(context, std::string(key) + " '" + type + "' is not supported", ErrorCode::kUnsupported);
}

void check_block_types(const Json& json, const char* key, const std::string& supported,
                       const std::string& context) {
  const auto found = json.find(key);
  if (found == json.end()) return;
  for (const Json& type : *found) {
    if (type == supported) continue;
    fail(context,
         std::string(key) + " holds " + type.dump() + "; only " + supported + " is supported",
         ErrorCode::kUnsupported);
  }
}

TemporalVaeConfig parse_temporal(const Json& json, const std::string& context) {
  check_type(json, "type", {"VAE_Temporal_SD", "VAE_Temporal"}, context);
  check_type(json, "activation_fn", {"swish", "silu"}, context);
  TemporalVaeConfig config;
  const auto channels = [&](const char* key, int64_t fallback) {
    return json_int_or(json, key, fallback, context, 1, kMaxChannels);
  };
  config.in_out_channels = channels("in_out_channels", config.in_out_channels);
  config.latent_embed_dim = channels("latent_embed_dim", config.latent_embed_dim);
  config.embed_dim = channels("embed_dim", config.embed_dim);
  config.filters = channels("filters", config.filters);
  config.num_groups = channels("num_groups", config.num_groups);
  config.num_res_blocks =
      json_int_or(json, "num_res_blocks", config.num_res_blocks, context, 1, kMaxBlocks);
  config.channel_multipliers =
      array_or(json, "channel_multipliers", config.channel_multipliers, context, read_positive);
  config.temporal_downsample =
      array_or(json, "temporal_downsample", config.temporal_downsample, context, read_bool);
  if (config.temporal_downsample.size() + 1 != config.channel_multipliers.size()) {
    fail(context, "temporal_downsample has " + std::to_string(config.temporal_downsample.size()) +
                      " values for " + std::to_string(config.channel_multipliers.size()) +
                      " channel_multipliers; it needs one less");
  }
  for (const int64_t multiplier : config.channel_multipliers) {
    if (config.filters * multiplier > kMaxChannels) fail(context, "too many channels");
    check_groups(config.filters * multiplier, config.num_groups, context);
  }
  check_groups(config.filters, config.num_groups, context);
  return config;
}

// null stands for "no limit".
int64_t micro_size(const Json& json, const char* key, int64_t fallback, int64_t unlimited,
                   const std::string& context) {
  const auto found = json.find(key);
  if (found != json.end() && found->is_null()) return unlimited;
  return json_int_or(json, key, fallback, context, 1, kMaxFrames);
}

}  // namespace

int64_t TemporalVaeConfig::factor() const {
  return int64_t{1} << std::count(temporal_downsample.begin(), temporal_downsample.end(), true);
}

int64_t VideoVaeConfig::chunk_frames(int64_t left) const {
  return micro_frame_size == 0 ? left : std::min(micro_frame_size, left);
}

SpatialVaeConfig parse_spatial_vae_config(const Json& json, const std::string& context) {
  check_type(json, "act_fn", {"silu", "swish"}, context);
  check_block_types(json, "down_block_types", "DownEncoderBlock2D", context);
  check_block_types(json, "up_block_types", "UpDecoderBlock2D", context);
  SpatialVaeConfig config;
  config.in_channels = json_int_or(json, "in_channels", config.in_channels, context, 3, 3);
  config.out_channels = json_int_or(json, "out_channels", config.out_channels, context, 3, 3);
  config.latent_channels =
      json_int_or(json, "latent_channels", config.latent_channels, context, 1, kMaxChannels);
  config.block_out_channels =
      array_or(json, "block_out_channels", config.block_out_channels, context, read_positive);
  config.layers_per_block =
      json_int_or(json, "layers_per_block", config.layers_per_block, context, 1, kMaxBlocks);
  config.norm_num_groups =
      json_int_or(json, "norm_num_groups", config.norm_num_groups, context, 1, kMaxChannels);
  config.mid_block_add_attention = json_bool_or(json, "mid_block_add_attention", true, context);
  config.use_quant_conv = json_bool_or(json, "use_quant_conv", true, context);
  config.use_post_quant_conv = json_bool_or(json, "use_post_quant_conv", true, context);
  for (const int64_t channels : config.block_out_channels) {
    check_groups(channels, config.norm_num_groups, context);
  }
  return config;
}

VideoVaeConfig parse_vae_config(const Json& json, const std::string& context) {
  VideoVaeConfig config;
  const Json& spatial = object_or_empty(json, "vae_2d", context);
  check_type(spatial, "type", {"VideoAutoencoderKL"}, context + ": vae_2d");
  config.spatial = parse_spatial_vae_config(object_or_empty(spatial, "module_config", context),
                                            context + ": vae_2d.module_config");
  config.temporal =
      parse_temporal(object_or_empty(json, "vae_temporal", context), context + ": vae_temporal");
  config.micro_frame_size = micro_size(json, "micro_frame_size", 17, 0, context);
  config.micro_batch_size = micro_size(spatial, "micro_batch_size", 4, 4, context);
  config.scale = array_or(json, "scale", config.scale, context, read_number);
  config.shift = array_or(json, "shift", config.shift, context, read_number);
  const auto channels = static_cast<size_t>(config.temporal.embed_dim);
  if (config.scale.size() != channels || config.shift.size() != channels) {
    fail(context, "scale and shift need one value for each of " + std::to_string(channels) +
                      " latent channels");
  }
  if (config.spatial.latent_channels != config.temporal.in_out_channels) {
    fail(context, "vae_2d has " + std::to_string(config.spatial.latent_channels) +
                      " latent channels, vae_temporal takes " +
                      std::to_string(config.temporal.in_out_channels));
  }
  return config;
}

VideoVaeConfig read_vae_config(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "config.json";
  return parse_vae_config(read_json_file(file), file.string());
}

int64_t vae_latent_frames(const VideoVaeConfig& config, int64_t frames) {
  const int64_t factor = config.temporal.factor();
  const auto rounded_up = [&](int64_t count) { return (count + factor - 1) / factor; };
  if (config.micro_frame_size == 0) return rounded_up(frames);
  return frames / config.micro_frame_size * rounded_up(config.micro_frame_size) +
         rounded_up(frames % config.micro_frame_size);
}

}  // namespace engine
