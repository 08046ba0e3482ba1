// Kind dit: a whole run of DDIM or DDPM on a DiT, with or without the published ToCa, held against
// the reference step by step.
#include <cstring>

#include "golden/image_comparison.h"
#include "golden/image_policy.h"
#include "golden/part_checks.h"
#include "models/dit/model.h"
#include "samplers/ddim.h"
#include "samplers/ddpm.h"

namespace engine {

namespace {

// Guidance acts on the first three channels of the predicted noise.
constexpr int64_t kGuidedChannels = 3;

struct DitCase {
  ImageCaseShape image;
  ConstTensorView z;
  std::vector<int32_t> labels;
  bool ddpm = false;
  Guidance guidance;
};

void read_sampler(const GoldenCase& golden, DitCase& input) {
  const Json& sampler = golden_object(golden, "sampler");
  const std::string& context = input.image.context;
  input.image.steps = static_cast<int>(json_int(sampler, "steps", context, 1, kMaxSteps));
  const std::string type = json_string_or(sampler, "type", "", context);
  const bool known =
      (type == "ddim" && json_number_or(sampler, "eta", 0, context) == 0) || type == "ddpm";
  if (!known || json_bool_or(sampler, "clip_denoised", false, context)) {
    throw Error(ErrorCode::kUnsupported,
                context + ": only ddim with eta 0 and ddpm, without clipping, are supported");
  }
  input.ddpm = type == "ddpm";
  input.guidance = {.scale = json_number_or(golden.json(), "cfg_scale", 1.5, context),
                    .channels = kGuidedChannels};
}

DitCase read_case(const GoldenCase& golden, const DitConfig& config) {
  DitCase input;
  input.image.context = (golden.folder() / "case.json").string();
  input.z = golden_image_latent(golden, "z", config.joint.in_channels);
  const int64_t clips = input.z.dim(0);
  input.image.depth = config.joint.depth;
  input.image.channels = config.joint.in_channels;
  input.image.shape = {
      .clips = clips, .latent_height = input.z.dim(3), .latent_width = input.z.dim(4)};
  const ConstTensorView labels = golden_tensor(golden, "y", DType::kI32, {2 * clips});
  input.labels.assign(labels.i32(), labels.i32() + clips);
  for (int64_t i = clips; i < 2 * clips; ++i) {
    if (labels.i32()[i] == config.classes) continue;
    throw Error(ErrorCode::kUnsupported,
                input.image.context + ": unconditional rows must have the null class");
  }
  input.image.tokens = token_grid(config.joint, input.image.shape).tokens();
  read_sampler(golden, input);
  return input;
}

std::unique_ptr<DiffusionSampler> make_sampler(Backend& backend, const DitCase& input) {
  const Shape latent = input.z.shape();
  if (input.ddpm) {
    return std::make_unique<Ddpm>(backend, input.image.steps, input.guidance, latent);
  }
  return std::make_unique<Ddim>(backend, input.image.steps, input.guidance, latent);
}

GoldenCheck check_timesteps(const GoldenCase& golden, const DitCase& input,
                            const DiffusionSampler& sampler) {
  const ConstTensorView expected =
      golden_tensor(golden, "ref.timesteps", DType::kI32, {input.image.steps});
  int64_t differing = 0;
  for (int step = 0; step < input.image.steps; ++step) {
    differing += sampler.timestep(step) != static_cast<float>(expected.i32()[step]);
  }
  return golden_count("timesteps", differing);
}

// The reference's model output has guidance in it: both halves alike in the guided channels.
Tensor guided(Backend& backend, ConstTensorView output, const Guidance& guidance) {
  Tensor found = golden_download(backend, output);
  const int64_t rows = found.dim(0), half = found.elements() / 2;
  const int64_t part = found.elements() / rows / found.dim(1) * guidance.channels;
  for (int64_t row = 0; row < rows / 2; ++row) {
    float* const conditional = found.f32() + row * (2 * half / rows);
    for (int64_t i = 0; i < part; ++i) {
      const float unconditional = conditional[half + i];
      const float noise =
          unconditional + static_cast<float>(guidance.scale) * (conditional[i] - unconditional);
      conditional[i] = conditional[half + i] = noise;
    }
  }
  return found;
}

// The reference draws noise for both halves, and reads the first.
NoiseSource recorded_noise(const GoldenCase& golden, const DitCase& input) {
  if (!input.ddpm) return {};
  const Shape z = input.z.shape();
  const ConstTensorView noise = golden_tensor(golden, "step_noise", DType::kF32,
                                              {input.image.steps, 2 * z[0], z[1], z[3], z[4]});
  return [noise](int step, TensorView out) {
    std::memcpy(out.data(), noise.rows(step, 1).data(), out.bytes());
  };
}

// A block is full, or its self-attention is reused and some tokens pass its MLP.
ImageComparison::ExpectedModule expected_modules(const GoldenCase& golden, const DitCase& input) {
  const Shape plan{input.image.steps, input.image.depth};
  const ConstTensorView type = golden_tensor(golden, "ref.type", DType::kI32, plan);
  const ConstTensorView count = golden_tensor(golden, "ref.fresh_count", DType::kI32, plan);
  const int depth = input.image.depth;
  const int64_t tokens = input.image.tokens;
  return [=](const ModuleReport& report) -> ImageComparison::Expected {
    const int64_t at = int64_t{report.step} * depth + report.layer;
    const bool full = type.i32()[at] == 1;
    if (full) return {Decision::kRefresh, tokens};
    if (report.module == Module::kSelfAttention) return {Decision::kReuse, 0};
    return {Decision::kPartial, count.i32()[at]};
  };
}

void sample(const GoldenCase& golden, const DitCase& input, Backend& backend, Dit& model,
            DiffusionSampler& sampler, StepHooks& hooks, ImageComparison& comparison) {
  const Tensor latent = backend.allocate(input.z.shape(), DType::kF32);
  backend.upload(input.z, latent);
  std::vector<float> times(input.labels.size());
  const NoiseModel noise_model = [&](const NoiseRequest& request) {
    std::fill(times.begin(), times.end(), request.timestep);
    hooks.tap = [&](const std::string& name, ConstTensorView tensor) {
      comparison.tap(request.step, name, tensor);
    };
    const ConstTensorView output =
        model.step({.step = request.step, .latent = request.latent, .timesteps = times}, hooks);
    comparison.model_out(request.step, guided(backend, output, input.guidance));
    return output;
  };
  const NoiseSource noise = recorded_noise(golden, input);
  for (int step = 0; step < sampler.steps(); ++step) {
    comparison.latent(step, latent);
    sampler.step(step, latent, noise_model, noise);
  }
  comparison.result(latent);
}

}  // namespace

GoldenChecks run_dit(const GoldenCase& golden, Backend& backend, const GoldenOptions& options) {
  const DitWeights weights = load_dit(golden_transformer(golden, options), backend, options.dtype);
  const DitCase input = read_case(golden, weights.config);
  const GoldenImagePolicy settings = golden_dit_policy(golden);
  const auto policy = make_policy(settings.spec, {.steps = input.image.steps,
                                                  .depth = input.image.depth,
                                                  .tokens = input.image.tokens,
                                                  .temporal_blocks = false,
                                                  .published = settings.published});
  ImageComparison comparison(golden, backend, input.image, options.dtype,
                             expected_modules(golden, input));
  StepHooks hooks;
  comparison.listen(hooks, *policy);
  const auto sampler = make_sampler(backend, input);
  Dit model(backend, weights, input.image.shape, *policy);
  model.condition(input.labels);
  sample(golden, input, backend, model, *sampler, hooks, comparison);

  GoldenChecks checks{check_timesteps(golden, input, *sampler)};
  for (GoldenCheck& check : comparison.checks()) checks.push_back(std::move(check));
  return checks;
}

}  // namespace engine
