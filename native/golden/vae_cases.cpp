// Kinds vae-decode and vae-encode: layers of the first chunk and of the first micro batch where the
// case has them, the 2D latents between both autoencoders, frames, and on the way back the moments
// of both posteriors and the latent, as the mode and with recorded noise.
#include <map>

#include "golden/part_checks.h"
#include "models/video_vae/model.h"

namespace engine {
namespace {

VideoVae load_vae(const GoldenCase& golden, Backend& backend, const GoldenOptions& options,
                  VaeParts parts) {
  const std::filesystem::path folder = golden_part_folder(golden, options, "vae");
  VideoVaeConfig config = read_vae_config(folder);
  const Json& json = golden.json();
  config.micro_frame_size =
      json_int_or(json, "micro_frame_size", config.micro_frame_size, golden.name(), 1, 4096);
  config.micro_batch_size =
      json_int_or(json, "micro_batch_size", config.micro_batch_size, golden.name(), 1, 4096);
  return VideoVae::load(backend, folder, config, DType::kF32, parts);
}

// [F, H, W, C] in the backend's memory to [C, F, H, W] on the host.
Tensor channels_first(Backend& backend, ConstTensorView value) {
  const Shape& shape = value.shape();
  Tensor device = backend.allocate({shape[3], shape[0], shape[1], shape[2]}, DType::kF32);
  backend.channels_first({.input = value, .output = device});
  return golden_download(backend, device);
}

// Copies frames [C, F, H, W] into place `first` of a whole [C, F', H, W].
void place_frames(const Tensor& frames, int64_t first, TensorView whole) {
  const int64_t plane = whole.dim(2) * whole.dim(3);
  const int64_t count = frames.dim(1) * plane;
  for (int64_t channel = 0; channel < whole.dim(0); ++channel) {
    std::copy_n(frames.f32() + channel * count, count,
                whole.f32() + (channel * whole.dim(1) + first) * plane);
  }
}

// One batch row of a golden tensor.
ConstTensorView row_of(ConstTensorView tensor, int64_t row) {
  const Shape& shape = tensor.shape();
  check(shape.rank() == 5, "golden tensors of the VAE are [B, C, F, H, W]");
  return tensor.rows(row, 1).reshaped({shape[1], shape[2], shape[3], shape[4]});
}

// Gathers what a decode shows: whole tensors by chunk or micro batch, and of every layer the first
// output.
class DecodeRecord {
 public:
  DecodeRecord(Backend& backend, Shape latents, Shape frames)
      : backend_(backend), latents_(latents, DType::kF32), frames_(frames, DType::kF32) {}

  void see(std::string_view name, ConstTensorView value) {
    if (name == "x_z") {
      place_frames(channels_first(backend_, value), latents_done_, latents_);
      latents_done_ += value.dim(0);
    } else if (name == "frames") {
      place_frames(channels_first(backend_, value), frames_done_, frames_);
      frames_done_ += value.dim(0);
    } else if (!layers_.contains(std::string(name))) {
      layers_.emplace(name, channels_first(backend_, value));
    }
  }

  const Tensor& latents() const { return latents_; }
  const Tensor& frames() const { return frames_; }
  const std::map<std::string, Tensor>& layers() const { return layers_; }

 private:
  Backend& backend_;
  Tensor latents_, frames_;
  int64_t latents_done_ = 0;
  int64_t frames_done_ = 0;
  std::map<std::string, Tensor> layers_;
};

// A reference of the 2D decoder is [F, C, H, W], of the temporal one [1, C, F, H, W].
Tensor trace_channels_first(ConstTensorView trace, bool temporal) {
  const Shape& shape = trace.shape();
  if (temporal) {
    Tensor result({shape[1], shape[2], shape[3], shape[4]}, DType::kF32);
    std::copy_n(trace.f32(), result.elements(), result.f32());
    return result;
  }
  Tensor result({shape[1], shape[0], shape[2], shape[3]}, DType::kF32);
  const int64_t plane = shape[2] * shape[3];
  for (int64_t frame = 0; frame < shape[0]; ++frame) {
    for (int64_t channel = 0; channel < shape[1]; ++channel) {
      std::copy_n(trace.f32() + (frame * shape[1] + channel) * plane, plane,
                  result.f32() + (channel * shape[0] + frame) * plane);
    }
  }
  return result;
}

void check_layers(const GoldenCase& golden, const std::string& prefix, const DecodeRecord& record,
                  double reference_error, GoldenChecks& checks) {
  for (const auto& [name, found] : record.layers()) {
    const ConstTensorView trace = golden.find(prefix + "trace." + name);
    if (trace.empty()) continue;
    const Tensor expected = trace_channels_first(trace, trace.shape().rank() == 5);
    if (found.shape() != expected.shape()) continue;  // a smaller micro batch than the reference's
    checks.push_back(
        golden_tensor_check(prefix + name, found, expected, reference_error, DType::kF32));
  }
}

void check_decode_run(const GoldenCase& golden, Backend& backend, VideoVae& vae, const Json& run,
                      GoldenChecks& checks) {
  const int64_t frames = json_int(run, "num_frames", golden.name(), 1, 4096);
  const double reference_error = json_number_or(run, "fp32_vs_fp64", 0, golden.name());
  const std::string prefix = "dec" + std::to_string(frames) + ".";
  const ConstTensorView z = golden.tensor(prefix + "z");
  const ConstTensorView latents = golden.tensor(prefix + "ref.x_z");
  const ConstTensorView pixels = golden.tensor(prefix + "ref.frames");
  for (int64_t row = 0; row < z.dim(0); ++row) {
    const std::string name = prefix + (z.dim(0) > 1 ? std::to_string(row) + "." : "");
    DecodeRecord record(backend, row_of(latents, row).shape(), row_of(pixels, row).shape());
    VaeHooks hooks;
    hooks.tap = [&](std::string_view layer, ConstTensorView value) { record.see(layer, value); };
    Tensor device = backend.allocate(row_of(z, row).shape(), DType::kF32);
    backend.upload(row_of(z, row), device);
    vae.decode(
        device, frames, [](int64_t, ConstTensorView) {}, hooks);
    if (row == 0) check_layers(golden, prefix, record, reference_error, checks);
    checks.push_back(golden_tensor_check(name + "x_z", record.latents(), row_of(latents, row),
                                         reference_error, DType::kF32));
    checks.push_back(golden_tensor_check(name + "frames", record.frames(), row_of(pixels, row),
                                         reference_error, DType::kF32));
  }
}

// [C, F, H, W] to [F, H, W, C], on the host.
Tensor channels_last(ConstTensorView value) {
  const Shape& shape = value.shape();
  Tensor result({shape[1], shape[2], shape[3], shape[0]}, DType::kF32);
  const int64_t pixels = shape[1] * shape[2] * shape[3];
  for (int64_t channel = 0; channel < shape[0]; ++channel) {
    for (int64_t pixel = 0; pixel < pixels; ++pixel) {
      result.f32()[pixel * shape[0] + channel] = value.f32()[channel * pixels + pixel];
    }
  }
  return result;
}

// Cases of encoding do not say what the reference loses against float64; those of decoding with the
// same model say 5e-6 to 9e-6.
constexpr double kEncodeReferenceError = 5e-6;

class EncodeRun {
 public:
  EncodeRun(const GoldenCase& golden, VideoVae& vae, std::string prefix, int64_t row,
            GoldenChecks& checks)
      : golden_(golden), vae_(vae), prefix_(std::move(prefix)), row_(row), checks_(checks) {}

  void check_mode() {
    VaePosteriors posteriors;
    const Tensor z = vae_.encode(frames(), {}, {}, &posteriors);
    compare("ref.mode.z", z, row("ref.mode.z"));
    // Spatial references are [B · F, C, h, w], those of the temporal posterior [B, C, T, h, w].
    compare_spatial("ref.spatial_mean", posteriors.spatial_mean);
    compare_spatial("ref.spatial_logvar", posteriors.spatial_logvar);
    compare("ref.mode.temporal_mean", posteriors.temporal_mean,
            channels_last(row("ref.mode.temporal_mean")));
    compare("ref.mode.temporal_logvar", posteriors.temporal_logvar,
            channels_last(row("ref.mode.temporal_logvar")));
  }

  void check_sample() {
    if (golden_.find(prefix_ + "ref.sample.z").empty()) return;
    const VaePosteriorNoise noise{.spatial = spatial_row("noise_spatial"),
                                  .temporal = row("noise_temporal")};
    compare("ref.sample.z", vae_.encode(frames(), noise), row("ref.sample.z"));
  }

 private:
  ConstTensorView row(const char* name) const {
    return row_of(golden_.tensor(prefix_ + name), row_);
  }
  Tensor frames() const { return channels_last(row("x")); }
  ConstTensorView spatial_row(const char* name) const {
    const int64_t count = row("x").dim(1);
    return golden_.tensor(prefix_ + name).rows(row_ * count, count);
  }

  void compare_spatial(const char* name, const Tensor& found) {
    // Frame by frame: [C, h, w] to [h, w, C].
    const ConstTensorView expected = spatial_row(name);
    const Shape& shape = expected.shape();
    Tensor last({shape[0], shape[2], shape[3], shape[1]}, DType::kF32);
    for (int64_t frame = 0; frame < shape[0]; ++frame) {
      const ConstTensorView one = expected.rows(frame, 1);
      const Tensor turned = channels_last(one.reshaped({shape[1], 1, shape[2], shape[3]}));
      std::copy_n(turned.f32(), turned.elements(), last.f32() + frame * turned.elements());
    }
    compare(name, found, last);
  }
  void compare(const std::string& what, ConstTensorView found, ConstTensorView expected) {
    checks_.push_back(
        golden_tensor_check(prefix_ + what, found, expected, kEncodeReferenceError, DType::kF32));
  }

  const GoldenCase& golden_;
  VideoVae& vae_;
  std::string prefix_;
  int64_t row_;
  GoldenChecks& checks_;
};

}  // namespace

GoldenChecks run_vae_decode(const GoldenCase& golden, Backend& backend,
                            const GoldenOptions& options) {
  VideoVae vae = load_vae(golden, backend, options, VaeParts::kDecoder);
  GoldenChecks checks;
  for (const Json& run : golden.json().at("runs")) {
    check_decode_run(golden, backend, vae, run, checks);
  }
  return checks;
}

GoldenChecks run_vae_encode(const GoldenCase& golden, Backend& backend,
                            const GoldenOptions& options) {
  VideoVae vae = load_vae(golden, backend, options, VaeParts::kDecoderAndEncoder);
  GoldenChecks checks;
  for (const Json& run : golden.json().at("runs")) {
    const int64_t frames = json_int(run, "num_frames", golden.name(), 1, 4096);
    const std::string prefix = "enc" + std::to_string(frames) + ".";
    for (int64_t row = 0; row < golden.tensor(prefix + "x").dim(0); ++row) {
      EncodeRun encode(golden, vae, prefix, row, checks);
      encode.check_mode();
      encode.check_sample();
    }
  }
  return checks;
}

}  // namespace engine
