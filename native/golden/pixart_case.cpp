// Kind pixart: a whole run of DPM-Solver++ on a PixArt-alpha, with or without the published ToCa,
// held against the reference step by step.
#include <algorithm>
#include <array>
#include <cmath>

#include "golden/image_comparison.h"
#include "golden/image_policy.h"
#include "golden/part_checks.h"
#include "models/pixart/model.h"
#include "samplers/dpm_solver.h"

namespace engine {

namespace {

// The reference makes its times in float32: of 1000 a few units in the last place.
constexpr double kTimestepError = 1e-6;
constexpr double kPixelsPerLatent = 8;

struct PixartCase {
  ImageCaseShape image;
  ConstTensorView z;
  Captions captions;
  Guidance guidance;
};

void read_sampler(const GoldenCase& golden, PixartCase& input) {
  const Json& sampler = golden_object(golden, "sampler");
  const std::string& context = input.image.context;
  input.image.steps = static_cast<int>(json_int(sampler, "steps", context, 1, kMaxSteps));
  const auto is = [&](const char* field, const char* wanted) {
    return json_string_or(sampler, field, wanted, context) == wanted;
  };
  const bool known = is("type", "dpm-solver++") && is("method", "multistep") &&
                     is("skip_type", "time_uniform") &&
                     json_int_or(sampler, "order", 2, context, 1, 3) == 2;
  if (!known) {
    throw Error(ErrorCode::kUnsupported,
                context +
                    ": only multistep dpm-solver++ of order 2 with uniform times is "
                    "supported");
  }
  input.guidance = {.scale = json_number_or(sampler, "cfg_scale", 4.5, context),
                    .channels = input.image.channels};
}

PixartCase read_case(const GoldenCase& golden, const PixartConfig& config) {
  PixartCase input;
  input.image.context = (golden.folder() / "case.json").string();
  input.z = golden_image_latent(golden, "z", config.joint.in_channels);
  const int64_t clips = input.z.dim(0);
  input.image.depth = config.joint.depth;
  input.image.channels = config.joint.in_channels;
  input.image.unconditional_first = true;
  input.image.shape = {
      .clips = clips, .latent_height = input.z.dim(3), .latent_width = input.z.dim(4)};
  const ConstTensorView mask = golden.tensor("mask");
  input.captions.mask =
      golden_tensor(golden, "mask", DType::kI32, {clips, mask.elements() / clips});
  input.captions.embedding = golden_tensor(
      golden, "y", DType::kF32, {clips, input.captions.mask.dim(1), config.caption_channels});
  input.image.tokens = token_grid(config.joint, input.image.shape).tokens();
  read_sampler(golden, input);
  return input;
}

GoldenCheck check_timesteps(const GoldenCase& golden, const PixartCase& input,
                            const DiffusionSampler& sampler) {
  const int64_t clips = input.z.dim(0);
  const ConstTensorView expected =
      golden_tensor(golden, "ref.timesteps", DType::kF32, {input.image.steps, clips});
  GoldenCheck result;
  result.what = "timesteps";
  result.bound = kTimestepError;
  result.note = "relative to the largest";
  for (int64_t i = 0; i < expected.elements(); ++i) {
    const double found = static_cast<double>(sampler.timestep(static_cast<int>(i / clips)));
    const double error = std::abs(found - static_cast<double>(expected.f32()[i])) / 1000;
    result.error = std::max(result.error, std::isnan(error) ? HUGE_VAL : error);
  }
  result.passed = result.error <= result.bound;
  return result;
}

// The predicted noise: the first C channels of [rows, Cout, 1, H, W], in host memory.
Tensor predicted_noise(Backend& backend, ConstTensorView output, int64_t channels) {
  const Tensor all = golden_download(backend, output);
  const Shape shape = all.shape();
  Tensor noise({shape[0], channels, 1, shape[3], shape[4]}, DType::kF32);
  const int64_t part = noise.elements() / shape[0], whole = all.elements() / shape[0];
  for (int64_t row = 0; row < shape[0]; ++row) {
    std::copy_n(all.f32() + row * whole, part, noise.f32() + row * part);
  }
  return noise;
}

ImageComparison::ExpectedModule expected_modules(const GoldenCase& golden,
                                                 const PixartCase& input) {
  const Shape plan{input.image.steps, input.image.depth, 3};
  const ConstTensorView decision = golden_tensor(golden, "ref.decision", DType::kI32, plan);
  const ConstTensorView count = golden_tensor(golden, "ref.fresh_count", DType::kI32, plan);
  const int depth = input.image.depth;
  return [=](const ModuleReport& report) -> ImageComparison::Expected {
    const int64_t at =
        (int64_t{report.step} * depth + report.layer) * 3 + static_cast<int64_t>(report.module);
    constexpr std::array kDecisions{Decision::kReuse, Decision::kRefresh, Decision::kPartial};
    const auto code = static_cast<size_t>(decision.i32()[at]);
    if (code < kDecisions.size()) return {kDecisions[code], count.i32()[at]};
    throw Error(ErrorCode::kInvalidCheckpoint, golden.folder().string() + ": ref.decision holds " +
                                                   std::to_string(code) + ", known are 0 to 2");
  };
}

void sample(const PixartCase& input, Backend& backend, Pixart& model, DiffusionSampler& sampler,
            StepHooks& hooks, ImageComparison& comparison) {
  const Tensor latent = backend.allocate(input.z.shape(), DType::kF32);
  backend.upload(input.z, latent);
  std::vector<float> times(static_cast<size_t>(input.z.dim(0)));
  const NoiseModel noise_model = [&](const NoiseRequest& request) {
    std::fill(times.begin(), times.end(), request.timestep);
    hooks.tap = [&](const std::string& name, ConstTensorView tensor) {
      comparison.tap(request.step, name, tensor);
    };
    const ConstTensorView output =
        model.step({.step = request.step, .latent = request.latent, .timesteps = times}, hooks);
    comparison.model_out(request.step, predicted_noise(backend, output, input.image.channels));
    return output;
  };
  for (int step = 0; step < sampler.steps(); ++step) {
    comparison.latent(step, latent);
    sampler.step(step, latent, noise_model, {});
  }
  comparison.result(latent);
}

}  // namespace

GoldenChecks run_pixart(const GoldenCase& golden, Backend& backend, const GoldenOptions& options) {
  const PixartWeights weights =
      load_pixart(golden_transformer(golden, options), backend, options.dtype);
  const PixartCase input = read_case(golden, weights.config);
  const GoldenImagePolicy settings = golden_pixart_policy(golden);
  const auto policy = make_policy(settings.spec, {.steps = input.image.steps,
                                                  .depth = input.image.depth,
                                                  .tokens = input.image.tokens,
                                                  .temporal_blocks = false,
                                                  .published = settings.published});
  ImageComparison comparison(golden, backend, input.image, options.dtype,
                             expected_modules(golden, input));
  StepHooks hooks;
  comparison.listen(hooks, *policy);
  DpmSolver sampler(backend, input.image.steps, input.guidance, input.z.shape());
  Pixart model(backend, weights, input.image.shape, *policy);
  const EncodedText text = encode_captions(backend, weights, input.captions, {}, true);
  model.condition(text, kPixelsPerLatent * static_cast<double>(input.z.dim(3)),
                  kPixelsPerLatent * static_cast<double>(input.z.dim(4)));
  sample(input, backend, model, sampler, hooks, comparison);

  GoldenChecks checks{check_timesteps(golden, input, sampler)};
  for (GoldenCheck& check : comparison.checks()) checks.push_back(std::move(check));
  return checks;
}

}  // namespace engine
