// Kind stdit3-rflow: a whole run of the rectified-flow sampler, with or without the published ToCa,
// held against the reference step by step.
#include <cstring>

#include "golden/part_checks.h"
#include "golden/selection_reference.h"
#include "golden/stdit3_policy.h"
#include "golden/tensor_checks.h"
#include "models/stdit3/model.h"
#include "samplers/rectified_flow.h"

namespace engine {

namespace {

// torch's square root was seen one unit in the last place off.
constexpr double kTimestepError = 1e-6;
// README: absolute 2e-4 on tensors of order 1 is generous.
constexpr double kBlockFloor = 2e-4;
// bf16 rounds every product's input to 8 bits, and guidance multiplies what comes of it; over the
// steps the latent, and with it the model's output, wanders off.
constexpr double kBf16LatentDb = 22;
constexpr double kBf16OutputDb = 12;

struct RflowCase {
  std::string context;
  ConstTensorView z, captions, mask;
  ConstTensorView frame_mask;  // [n, T] or empty
  int steps = 0;
  double guidance = 0;
  TimestepSettings times;
  STDiT3Shape shape;
  std::vector<float> fps;
};

const Json& settings_of(const GoldenCase& golden, const char* field) {
  const auto found = golden.json().find(field);
  if (found != golden.json().end() && found->is_object()) return *found;
  throw Error(ErrorCode::kInvalidCheckpoint,
              golden.folder().string() + "/case.json: \"" + field + "\" must be an object");
}

void read_sampler(const GoldenCase& golden, RflowCase& input) {
  const Json& sampler = settings_of(golden, "sampler");
  const std::string& context = input.context;
  const std::string type = json_string_or(sampler, "type", "rflow", context);
  const bool discrete = json_bool_or(sampler, "use_discrete_timesteps", false, context);
  if (type != "rflow" || discrete ||
      json_int_or(sampler, "num_timesteps", 1000, context, 1, 1000000) != 1000) {
    throw Error(ErrorCode::kUnsupported,
                context + ": only rflow with continuous times from 1000 to 0 is supported");
  }
  input.steps = static_cast<int>(json_int(sampler, "num_sampling_steps", context, 1, kMaxSteps));
  input.guidance = json_number_or(sampler, "cfg_scale", 7.0, context);
  const int64_t clips = input.shape.clips;
  input.times = {.steps = input.steps,
                 .time_transform = json_bool_or(sampler, "use_timestep_transform", true, context),
                 .pixel_height = input.shape.pixel_height,
                 .pixel_width = input.shape.pixel_width,
                 .frames = static_cast<int>(golden_scalar(golden, "num_frames", clips, kMaxFrames)),
                 .latent_frames = input.shape.latent_frames,
                 .upstream_fidelity = true};
}

RflowCase read_case(const GoldenCase& golden, const STDiT3Config& config) {
  RflowCase input;
  input.context = (golden.folder() / "case.json").string();
  input.z = golden_latent(golden, "z", config.in_channels);
  const Shape z = input.z.shape();
  const int64_t clips = z[0];
  input.mask = golden.tensor("mask");
  golden_tensor(golden, "mask", DType::kI32, {clips, input.mask.elements() / clips});
  input.captions =
      golden_tensor(golden, "y", DType::kF32, {clips, input.mask.dim(1), config.caption_channels});
  if (!golden.find("frame_mask").empty()) {
    input.frame_mask = golden_tensor(golden, "frame_mask", DType::kF32, {clips, z[2]});
  }
  input.shape = {.clips = clips,
                 .guided = true,
                 .latent_frames = z[2],
                 .latent_height = z[3],
                 .latent_width = z[4],
                 .pixel_height = golden_scalar(golden, "height", clips, kMaxPixelsPerSide),
                 .pixel_width = golden_scalar(golden, "width", clips, kMaxPixelsPerSide)};
  const ConstTensorView fps = golden_tensor(golden, "fps", DType::kF32, {clips});
  input.fps.assign(fps.f32(), fps.f32() + clips);
  read_sampler(golden, input);
  return input;
}

// Times as computed here against those of the reference, which the run then uses: where a frame
// becomes active is decided by comparing with them, and a unit in the last place would move it.
GoldenCheck check_timesteps(const GoldenCase& golden, const RflowCase& input,
                            std::vector<float>& reference) {
  const int64_t clips = input.shape.clips;
  const ConstTensorView expected =
      golden_tensor(golden, "ref.timesteps", DType::kF32, {input.steps, clips});
  const std::vector<float> times = rectified_flow_timesteps(input.times);
  GoldenCheck result;
  result.what = "timesteps";
  result.bound = kTimestepError;
  result.note = "relative; the run uses the reference's";
  for (int step = 0; step < input.steps; ++step) {
    reference.push_back(expected.f32()[step * clips]);
    for (int64_t clip = 0; clip < clips; ++clip) {
      const double want = expected.f32()[step * clips + clip];
      const double error = std::abs(static_cast<double>(times[static_cast<size_t>(step)]) - want);
      result.error = std::max(result.error, std::isnan(error) ? HUGE_VAL : error / want);
    }
  }
  result.passed = result.error <= result.bound;
  return result;
}

// The first `channels` of [rows, Cout, T, H, W], device, in host memory.
Tensor first_channels(Backend& backend, ConstTensorView output, int64_t channels) {
  const Tensor all = golden_download(backend, output);
  const Shape shape = all.shape();
  Tensor first({shape[0], channels, shape[2], shape[3], shape[4]}, DType::kF32);
  const int64_t part = first.elements() / shape[0], whole = all.elements() / shape[0];
  for (int64_t row = 0; row < shape[0]; ++row) {
    std::memcpy(first.f32() + row * part, all.f32() + row * whole,
                static_cast<size_t>(part) * sizeof(float));
  }
  return first;
}

// Everything that is compared while the sampler runs.
class RflowComparison {
 public:
  RflowComparison(const GoldenCase& golden, Backend& backend, const RflowCase& input,
                  const STDiT3Config& config, DType dtype)
      : golden_(golden), backend_(backend), input_(input), config_(config) {
    const bool coarse = dtype == DType::kBF16;
    const auto bound = [&](const char* field, double floor, double bf16_db) {
      return TensorBound{.reference_error = reference_error(field),
                         .floor = floor,
                         .signal_to_noise_db = coarse ? bf16_db : 0};
    };
    const TensorBound latent = bound("max_abs_latent_diff", kGoldenFloor, kBf16LatentDb);
    worst_.emplace_back("latents", latent);
    worst_.emplace_back("model_out", bound("max_abs_model_out_diff", kGoldenFloor, kBf16OutputDb));
    worst_.emplace_back("blocks", bound("", kBlockFloor, kBf16OutputDb));
    worst_.emplace_back("final", latent);
    const Shape z = input.z.shape();
    const int64_t clips = z[0], rows = 2 * clips;
    latents_ = golden_tensor(golden, "ref.latents", DType::kF32,
                             {input.steps + 1, clips, z[1], z[2], z[3], z[4]});
    model_out_ = golden_tensor(golden, "ref.model_out", DType::kF32,
                               {input.steps, rows, z[1], z[2], z[3], z[4]});
    final_ = golden_tensor(golden, "ref.final", DType::kF32, z);
    const Shape plan{input.steps, config.depth, 2, 3};
    decision_ = golden_tensor(golden, "ref.decision", DType::kI32, plan);
    fresh_count_ = golden_tensor(golden, "ref.fresh_count", DType::kI32, plan);
    if (!golden.find("step_x_mask").empty()) {
      x_mask_ = golden_tensor(golden, "step_x_mask", DType::kU8, {input.steps, clips, z[2]});
    }
  }

  double reference_error(const char* field) const {
    const auto found = golden_.json().find("fp32_vs_fp64");
    if (found == golden_.json().end() || !found->is_object()) return 0;
    return json_number_or(*found, field, 0.0, input_.context);
  }

  void module(const ModuleReport& report) {
    const int64_t branch = report.block == BlockKind::kTemporal ? 1 : 0;
    const int64_t at = ((int64_t{report.step} * config_.depth + report.layer) * 2 + branch) * 3 +
                       static_cast<int64_t>(report.module);
    static constexpr std::array kReferenceCode{1, 2, 0};  // refresh, partial, reuse
    decisions_differ_ +=
        decision_.i32()[at] != kReferenceCode[static_cast<size_t>(report.decision)];
    counts_differ_ += fresh_count_.i32()[at] * input_.shape.rows() != report.tokens_computed;
    ++modules_;
  }

  void input(const VelocityRequest& request) {
    const std::string step = "step " + std::to_string(request.step);
    worst_[0].compare(step, golden_download(backend_, request.latent),
                      latents_.rows(request.step, 1));
    if (x_mask_.empty()) return;
    const ConstTensorView expected = x_mask_.rows(request.step, 1);
    for (int64_t i = 0; i < expected.elements(); ++i) {
      const bool noisy = request.x_mask.empty() || request.x_mask.u8()[i] != 0;
      masks_differ_ += noisy != (expected.u8()[i] != 0);
    }
  }

  void output(int step, ConstTensorView velocity) {
    worst_[1].compare("step " + std::to_string(step),
                      first_channels(backend_, velocity, config_.in_channels),
                      model_out_.rows(step, 1));
  }

  void tap(int step, const std::string& name, ConstTensorView tensor) {
    const ConstTensorView expected = golden_.find("ref.step." + std::to_string(step) + "." + name);
    if (expected.empty() || expected.elements() != tensor.elements()) return;
    worst_[2].compare("step " + std::to_string(step) + " " + name,
                      golden_download(backend_, tensor), expected);
  }

  void result(ConstTensorView latent) {
    const Tensor found = golden_download(backend_, latent);
    worst_[0].compare("result", found, latents_.rows(input_.steps, 1));
    worst_[3].compare("result", found, final_);
  }

  GoldenChecks checks() const {
    GoldenChecks result;
    const int64_t missing = decision_.elements() - modules_;
    result.push_back(golden_count("decisions", decisions_differ_ + missing));
    result.push_back(golden_count("fresh tokens", counts_differ_ + missing));
    if (!x_mask_.empty()) result.push_back(golden_count("x_mask", masks_differ_));
    for (const WorstTensor& each : worst_) {
      if (each.compared_any()) result.push_back(each.check());
    }
    return result;
  }

 private:
  const GoldenCase& golden_;
  Backend& backend_;
  const RflowCase& input_;
  const STDiT3Config& config_;
  std::vector<WorstTensor> worst_;
  ConstTensorView latents_, model_out_, final_, decision_, fresh_count_, x_mask_;
  int64_t decisions_differ_ = 0, counts_differ_ = 0, masks_differ_ = 0, modules_ = 0;
};

NoiseSource recorded_noise(const GoldenCase& golden, const RflowCase& input) {
  if (input.frame_mask.empty()) return {};
  const Shape z = input.z.shape();
  const ConstTensorView noise =
      golden_tensor(golden, "step_noise", DType::kF32, {input.steps, z[0], z[1], z[2], z[3], z[4]});
  return [noise](int step, TensorView out) {
    std::memcpy(out.data(), noise.rows(step, 1).data(), out.bytes());
  };
}

// Runs the sampler from z to the end, comparing on the way.
void sample(const GoldenCase& golden, const RflowCase& input, Backend& backend, STDiT3& model,
            const std::vector<float>& times, StepHooks& hooks, RflowComparison& comparison) {
  const Tensor latent = backend.allocate(input.z.shape(), DType::kF32);
  backend.upload(input.z, latent);
  RectifiedFlow sampler(backend, times, input.guidance, input.z.shape(), input.frame_mask);
  const NoiseSource noise = recorded_noise(golden, input);
  std::vector<float> clip_times(static_cast<size_t>(input.shape.clips));
  const VelocityModel velocity = [&](const VelocityRequest& request) {
    comparison.input(request);
    std::fill(clip_times.begin(), clip_times.end(), request.timestep);
    hooks.tap = [&](const std::string& name, ConstTensorView tensor) {
      comparison.tap(request.step, name, tensor);
    };
    const ConstTensorView output = model.step({.step = request.step,
                                               .latent = request.latent,
                                               .timesteps = clip_times,
                                               .x_mask = request.x_mask},
                                              hooks);
    comparison.output(request.step, output);
    return output;
  };
  for (int step = 0; step < sampler.steps(); ++step) sampler.step(step, latent, velocity, noise);
  comparison.result(latent);
}

}  // namespace

GoldenChecks run_stdit3_rflow(const GoldenCase& golden, Backend& backend,
                              const GoldenOptions& options) {
  const STDiT3Weights weights =
      load_stdit3(golden_transformer(golden, options), backend, options.dtype);
  const STDiT3Config& config = weights.config;
  const RflowCase input = read_case(golden, config);
  const TokenGrid grid = token_grid(config, input.shape.latent_frames, input.shape.latent_height,
                                    input.shape.latent_width);
  const auto policy =
      make_policy(golden_stdit3_policy(golden, "cache"),
                  {.steps = input.steps, .depth = config.depth, .tokens = grid.tokens()});
  GoldenChecks checks;
  std::vector<float> times;
  checks.push_back(check_timesteps(golden, input, times));

  RflowComparison comparison(golden, backend, input, config, options.dtype);
  StepHooks hooks;
  hooks.on_module = [&](const ModuleReport& report) { comparison.module(report); };
  std::unique_ptr<SelectionReference> selections;
  if (!golden.find("ref.calls").empty()) {
    selections = std::make_unique<SelectionReference>(
        golden, input.shape.rows(), grid.tokens(), comparison.reference_error("max_abs_score_diff"),
        options.dtype == DType::kBF16);
    hooks.selection = selections.get();
  }

  STDiT3 model(backend, weights, input.shape, *policy);
  const STDiT3Text text = encode_captions(backend, weights, input.captions, input.mask, true);
  model.condition(text, input.fps);
  sample(golden, input, backend, model, times, hooks, comparison);

  for (GoldenCheck& check : comparison.checks()) checks.push_back(std::move(check));
  if (selections != nullptr) {
    for (GoldenCheck& check : selections->checks()) checks.push_back(std::move(check));
  }
  return checks;
}

}  // namespace engine
