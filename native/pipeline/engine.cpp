// The stages of a clip in order: text, latent, frames, on two lanes. The only place that knows all
// parts.
#include "engine/engine.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "core/sha256.h"
#include "engine/error.h"
#include "pipeline/checkpointer.h"
#include "pipeline/clip_to_finish.h"
#include "pipeline/device.h"
#include "pipeline/engine_cache.h"
#include "pipeline/lanes.h"
#include "pipeline/latent_file.h"
#include "pipeline/model_family.h"
#include "pipeline/model_plan.h"
#include "pipeline/recording.h"
#include "samplers/noise.h"

namespace engine {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

uint64_t peak_resident_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

std::string mebibytes(uint64_t bytes) {
  return std::to_string(bytes >> 20) + " MiB";
}

// Refuses before memory is touched, when the plan says that it cannot fit.
void check_memory(const Backend& backend, uint64_t needed, const std::string& what,
                  const std::string& remedy) {
  const uint64_t available = backend.free_memory_bytes();
  if (needed <= available) return;
  throw Error(ErrorCode::kOutOfMemory, what + " needs " + mebibytes(needed) + ", available are " +
                                           mebibytes(available) + "; " + remedy);
}

class LoadedEngine : public Engine {
 public:
  explicit LoadedEngine(const EngineOptions& options)
      : start_(Clock::now()),
        configs_(read_model_configs(options.model)),
        backend_(open_device(options.device, options.threads)),
        lanes_(backend_->info().lanes_side_by_side),
        dtype_(options.dtype),
        family_(model_family(configs_)),
        planned_(planned_weights_bytes(configs_, dtype_)),
        cache_(options.cache_folder, options.cache_bytes_max),
        parts_(*backend_, options.model, options.cache_folder.empty() ? nullptr : &cache_),
        model_(load_model()) {
    const BackendInfo& device = backend_->info();
    info_.kind = device_kind(device, dtype_);
    info_.device_name = device.device_name;
    info_.memory_bytes = device.memory_bytes;
    info_.weights_digest = model_digest(options.model, options.cache_folder);
    info_.weights_bytes = planned_.all();
    if (dtype_ == DType::kBF16 && !device.bf16_native) {
      info_.notes.push_back(
          "this CPU has no bf16 instructions: weights are rounded to bf16 and computed in fp32");
    }
    info_.mapped_bytes = parts_.bytes_mapped();
    for (const std::string& problem : parts_.problems()) info_.notes.push_back(problem);
    info_.load_seconds = seconds_since(start_);
  }

  const EngineInfo& info() const override { return info_; }

  std::unique_ptr<DenoisedClip> denoise(const RenderOptions& options, RenderSink& sink,
                                        const RenderSignals& signals) override {
    return told_apart(signals, [&] { return denoise_clip(options, sink, signals); });
  }

  RenderResult finish(std::unique_ptr<DenoisedClip> denoised) override {
    auto& clip = dynamic_cast<ClipToFinish&>(*denoised);
    return told_apart(clip.signals, [&] {
      decode(clip);
      clip.result.seconds = seconds_since(clip.start);
      clip.result.peak_bytes = peak_resident_bytes();
      return clip.result;
    });
  }

  std::vector<StepRecord> record(const RenderRequest& request, const RenderSignals& signals,
                                 const PassProgress& on_step) override {
    // Single steps are left out under a policy of this kind.
    const std::vector<PolicySpec> passes{policy_without(1, request.steps)};
    std::vector<StepRecord> steps;
    with_recording(request, passes, signals, on_step,
                   [&](Recording& recording) { steps = recording.record(); });
    const Plan plan = make_plan(configs_, request, dtype_);
    for (StepRecord& step : steps) {
      step.timestep = plan.steps[static_cast<size_t>(step.step)].timestep;
    }
    return steps;
  }

  std::vector<FrameDifference> compare(const RenderRequest& request,
                                       const std::vector<PolicySpec>& policies,
                                       const RenderSignals& signals,
                                       const PassProgress& on_step) override {
    std::vector<FrameDifference> differences;
    with_recording(request, policies, signals, on_step,
                   [&](Recording& recording) { differences = recording.compare(policies); });
    return differences;
  }

 private:
  std::unique_ptr<ClipModel> load_model() {
    // With a cache the text encoder is loaded when a prompt asks for it.
    const bool later = parts_.cache() != nullptr;
    check_memory(*backend_, later ? planned_.others : planned_.all(), "the model",
                 "use --dtype bf16 or a machine with more memory");
    return family_->load(parts_, dtype_);
  }

  // Prepares a clip that is rendered under policy none and under `policies`.
  void with_recording(const RenderRequest& request, const std::vector<PolicySpec>& policies,
                      const RenderSignals& signals, const PassProgress& on_step,
                      const std::function<void(Recording&)>& work) {
    if (request.policy.name != "none") {
      throw Error(ErrorCode::kInvalidArgument,
                  "clips are compared with policy none, not with " + request.policy.name);
    }
    RenderOptions options;
    options.request = request;
    for (const PolicySpec& policy : policies) {
      options.request.policy = policy;
      const Plan plan = make_plan(configs_, options.request, dtype_);
      check_render_memory(render_bytes(plan, request.prompt).alone);
    }
    const std::function<bool()> stopped = [&signals] { return signals.cancelled.load(); };
    const Tensor latent = initial_latent(options);
    const Conditions conditions = model_->condition(request.prompt, stopped);
    const RecordingJob job{.request = &request,
                           .conditions = &conditions,
                           .initial_latent = latent,
                           .steps = request.steps,
                           .cancelled = stopped,
                           .on_step = on_step};
    Recording recording(*backend_, *model_, job);
    try {
      work(recording);
    } catch (const Error&) {
      model_->release_workspace();
      throw;
    }
    model_->release_workspace();
  }

  // What a render takes beside the weights that are in memory: alone, and while another clip is
  // being finished, without that one's bytes.
  struct RenderBytes {
    uint64_t alone;
    uint64_t beside;
  };
  RenderBytes render_bytes(const Plan& plan, const std::string& prompt) {
    const uint64_t beside = plan.overlapped_peak_bytes - plan.decode_bytes;
    if (model_->has_text_encoder()) {
      return {plan.peak_bytes - planned_.all(), beside - planned_.all()};
    }
    if (model_->awaits_text_encoder(prompt)) {
      return {plan.peak_bytes - planned_.others, beside - planned_.others};
    }
    return {plan.peak_bytes_prompt_kept - planned_.others, beside - planned_.all()};
  }

  void check_render_memory(uint64_t bytes) const {
    check_memory(*backend_, bytes, "the render", "ask for fewer frames or a smaller size");
  }

  // Beside the clip that is being finished where both fit, else when that is gone.
  void await_memory(const Plan& plan, const std::string& prompt, const RenderSignals& signals) {
    const RenderBytes bytes = render_bytes(plan, prompt);
    const auto fits = [&](uint64_t finishing_bytes) {
      return std::max(bytes.alone, bytes.beside + finishing_bytes) <= backend_->free_memory_bytes();
    };
    lanes_.await_room(fits, [&signals] { return signals.cancelled || signals.cut; });
    check_render_memory(bytes.alone);
  }

  std::unique_ptr<DenoisedClip> denoise_clip(const RenderOptions& options, RenderSink& sink,
                                             const RenderSignals& signals) {
    auto clip = std::make_unique<ClipToFinish>(lanes_, sink, signals);
    const RenderRequest& request = options.request;
    const Plan plan = make_plan(configs_, request, dtype_);
    await_memory(plan, request.prompt, signals);

    SamplerState from{.step = 0, .latent = initial_latent(options)};
    const ClipIdentity identity = identity_of(request, plan, from.latent);
    if (options.resume_from) {
      from = read_render_checkpoint(*options.resume_from, identity, plan, from.latent.shape());
    }
    clip->checkpoints = std::make_unique<Checkpointer>(
        *backend_,
        CheckpointSettings{.folder = options.checkpoint_folder,
                           .period_seconds = options.checkpoint_period_seconds,
                           .clip = identity,
                           .first_step = from.step},
        sink, signals);
    clip->result = {.frames = request.frames,
                    .height = static_cast<int>(plan.output_height),
                    .width = static_cast<int>(plan.output_width)};
    clip->latent = make_latent(options, plan, from, *clip);
    if (options.save_latent) save_latent(*options.save_latent, clip->latent);
    backend_->synchronize();  // the other lane goes on with the latent
    clip->expect_finishing(plan.decode_bytes);
    return clip;
  }

  ClipIdentity identity_of(const RenderRequest& request, const Plan& plan,
                           const Tensor& initial) const {
    return {.steps = static_cast<int>(plan.steps.size()),
            .seed = request.seed,
            .policy = plan.policy.name,
            .prompt_sha256 = sha256_hex(std::as_bytes(std::span(request.prompt))),
            .initial_latent_sha256 = tensor_sha256(initial),
            .plan_digest = plan.digest,
            .weights_digest = info_.weights_digest,
            .kind = info_.kind};
  }

  // Every clip tells of the same stages, also one of which only decoding remains.
  Tensor make_latent(const RenderOptions& options, const Plan& plan, const SamplerState& from,
                     ClipToFinish& clip) {
    RenderSink& sink = clip.sink;
    Checkpointer& checkpoints = *clip.checkpoints;
    if (from.step == static_cast<int>(plan.steps.size())) {
      sink.on_stage(Stage::kTextEncode, 0);
      sink.on_stage(Stage::kDenoise, 0);
      return on_device(from.latent);
    }
    const std::function<bool()> stopped = [&checkpoints] { return checkpoints.stops_denoising(); };
    Turn turn(lanes_, Lane::kDenoising, stopped);
    Clock::time_point start = Clock::now();
    const Conditions conditions = model_->condition(options.request.prompt, stopped);
    clip.result.prompt_kept = conditions.caption.kept;
    sink.on_stage(Stage::kTextEncode, seconds_since(start));

    start = Clock::now();
    const double waited_before = turn.seconds_waited();
    const DenoiseJob job{.request = &options.request,
                         .conditions = &conditions,
                         .first_step = from.step,
                         .initial_latent = from.latent,
                         .initial_history = from.history.empty() ? ConstTensorView() : from.history,
                         .flops_none = plan.flops_none,
                         .want_indices = options.trace_indices,
                         .cancelled = stopped,
                         .on_step =
                             [&sink, &turn](const StepReport& report) {
                               sink.on_step(report);
                               turn.offer();
                             },
                         .between_steps =
                             [&checkpoints](int step, const LatentState& at) {
                               checkpoints.between_steps(step, at);
                             }};
    Tensor latent = model_->denoise(job);
    const double waited = turn.seconds_waited() - waited_before;
    sink.on_stage(Stage::kDenoise, seconds_since(start) - waited);
    return latent;
  }

  Tensor on_device(const Tensor& host) {
    Tensor copy = backend_->allocate(host.shape(), host.dtype());
    backend_->upload(host, copy);
    return copy;
  }

  Tensor initial_latent(const RenderOptions& options) const {
    const LatentSize size = latent_size(options.request);
    const Shape shape{1, family_->latent_channels(), size.frames, size.height, size.width};
    if (options.initial_latent) return read_latent(*options.initial_latent, shape);
    Tensor latent(shape, DType::kF32);
    fill_initial_latent(latent, options.request.seed);
    return latent;
  }

  void save_latent(const std::filesystem::path& file, const Tensor& latent) {
    Tensor host(latent.shape(), DType::kF32);
    backend_->download(latent, host);
    write_latent(file, host);
  }

  void decode(ClipToFinish& clip) {
    const auto stopped = [&clip] { return clip.checkpoints->stops_decoding(); };
    try {
      Turn turn(lanes_, Lane::kFinishing, stopped);
      const Clock::time_point start = Clock::now();
      const double waited_before = turn.seconds_waited();
      double seconds_giving = 0;
      const VaeFrameSink give = [&](int64_t first, ConstTensorView rgb) {
        const auto hand_over = [&] { clip.sink.on_frames(rgb, static_cast<int>(first)); };
        if (!clip.sink.has_room()) return turn.without(hand_over);
        const Clock::time_point given = Clock::now();
        hand_over();
        seconds_giving += seconds_since(given);
      };
      decode_and_release(clip.latent, clip.result.frames, give, {.cancelled = stopped, .tap = {}});
      const double waited = turn.seconds_waited() - waited_before + seconds_giving;
      clip.sink.on_stage(Stage::kDecode, seconds_since(start) - waited);
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kCancelled) clip.checkpoints->leave_decoding(clip.latent);
      throw;
    }
  }

  void decode_and_release(ConstTensorView latent, int frames, const VaeFrameSink& give,
                          const VaeHooks& hooks) {
    try {
      model_->decode(latent, frames, give, hooks);
    } catch (...) {  // also whatever the sink throws
      model_->release_workspace();
      throw;
    }
    model_->release_workspace();
  }

  Clock::time_point start_;
  ModelConfigs configs_;
  std::unique_ptr<Backend> backend_;
  Lanes lanes_;
  DType dtype_;
  std::unique_ptr<ModelFamily> family_;
  PlannedWeights planned_;
  EngineCache cache_;
  ModelParts parts_;
  std::unique_ptr<ClipModel> model_;
  EngineInfo info_;
};

}  // namespace

std::unique_ptr<Engine> Engine::load(const EngineOptions& options) {
  return std::make_unique<LoadedEngine>(options);
}

}  // namespace engine
