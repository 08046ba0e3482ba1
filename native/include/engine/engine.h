// An engine: one model on one device. It knows no network, no batch and no farm.
//
// A clip is rendered in two halves, each on a lane, a thread of the caller's: the denoising lane
// takes it to its latent, the finishing lane decodes that, meanwhile the other one may begin the
// next clip. So each function that renders names the lane that it is called on, by one caller at a
// time; only the signals are raised from other threads.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "engine/model_traits.h"
#include "engine/plan.h"
#include "engine/record.h"
#include "engine/report.h"
#include "engine/request.h"

namespace engine {

// "0.1.0"; part of every kind.
const char* engine_version();

// Texts of the config.json files of a model folder, and of its model_index.json. vae and
// text_encoder may be empty: then the plan's bytes leave them out; without model_index.json classes
// have no names.
struct ModelConfigs {
  std::string transformer;
  std::string vae;
  std::string text_encoder;
  std::string model_index;
};

// What the configs are of. Throws Error(kInvalidCheckpoint) for a damaged config and
// Error(kUnsupported), naming it, for a model that this engine does not know.
ModelTraits describe_model(const ModelConfigs& configs);

// What is wrong with prompts for such a model, as far as configs can tell: throws
// Error(kInvalidArgument) naming the first that is no class of a model of classes.
void check_prompts(const ModelConfigs& configs, const std::vector<std::string>& prompts);

// Pure: no weights, no device. Throws Error(kInvalidArgument | kInvalidCheckpoint) naming the value
// and the bound.
Plan make_plan(const ModelConfigs& configs, const RenderRequest& request, DType dtype);

struct EngineOptions {
  std::filesystem::path model;  // folder with transformer/, vae/, text_encoder/, tokenizer/
  std::string device = "cpu";   // "cpu" or "cuda:N"
  DType dtype = DType::kF32;
  int threads = 0;  // 0 = all cores that this process may use
  // Where packed weights and encoded prompts are kept for later loads and for other engines of this
  // machine; empty: nowhere. cache_bytes_max bounds the packed weights.
  std::filesystem::path cache_folder = {};
  uint64_t cache_bytes_max = uint64_t{64} << 30;
};

struct EngineInfo {
  std::string kind;  // same kind = same bits
  std::string device_name;
  uint64_t memory_bytes = 0;
  std::string weights_digest;
  uint64_t weights_bytes = 0;
  uint64_t mapped_bytes = 0;  // of packed weights that were taken from the cache folder
  double load_seconds = 0;
  std::vector<std::string> notes;  // e.g. that bf16 weights are computed in fp32 here
};

struct RenderOptions {
  RenderRequest request;
  std::optional<std::filesystem::path> initial_latent;  // tensor "latent" or "z", [1, 4, T, h, w]
  std::optional<std::filesystem::path> save_latent;     // tensor "latent"
  bool trace_indices = false;
  // A checkpoint of the same clip, of this kind of device: its steps are not done again.
  std::optional<std::filesystem::path> resume_from = {};
  // Where checkpoints go, as checkpoint-<step>.safetensors; empty = none are made. The folder's
  // owner removes old ones.
  std::filesystem::path checkpoint_folder = {};
  double checkpoint_period_seconds = 10;  // at least so long between two; 0 = each refresh point
};

// How others stop a running render.
struct RenderSignals {
  std::atomic<bool> cancelled{false};  // nothing is kept; wins over a cut
  std::atomic<bool> cut{false};        // to be resumed: see Engine::render()
};

// A file from which a render can be resumed before `step`; step = number of steps: only decoding
// remains.
struct RenderCheckpoint {
  int step = 0;
  std::filesystem::path file;
};

struct RenderResult {
  double seconds = 0;
  int frames = 0, height = 0, width = 0;
  uint64_t peak_bytes = 0;   // largest resident size of the process during the render
  bool prompt_kept = false;  // the prompt was not encoded, but taken from the cache
};

// Receives what happens to a clip, in order, on the lane that it is on.
class RenderSink {
 public:
  virtual ~RenderSink() = default;
  virtual void on_stage(Stage stage, double seconds) = 0;
  virtual void on_step(const StepReport& report) = 0;
  // Comes before the step that it names is begun.
  virtual void on_checkpoint(const RenderCheckpoint& checkpoint) = 0;
  // A checkpoint could not be written; the render goes on without it.
  virtual void on_checkpoint_failed(int step, const std::string& message) = 0;
  // rgb: [count, H, W, 3], u8, valid during the call only. May wait: that is the back-pressure.
  virtual void on_frames(ConstTensorView rgb, int first) = 0;
  // Whether on_frames would return at once. Where not, the other lane may compute meanwhile.
  virtual bool has_room() const { return true; }
};

// A clip that only has to be decoded. The engine that made it outlives it.
class DenoisedClip {
 public:
  virtual ~DenoisedClip() = default;
};

// Told of the steps done, over all passes that a call makes, and of all there will be.
using PassProgress = std::function<void(int done, int total)>;

class Engine {
 public:
  // Throws Error: kNotFound, kInvalidCheckpoint, kOutOfMemory (needed and available named),
  // kUnsupported.
  static std::unique_ptr<Engine> load(const EngineOptions& options);
  virtual ~Engine() = default;

  virtual const EngineInfo& info() const = 0;
  // The first half of a clip, or what is left of it, on the denoising lane. `sink` and `signals`
  // must outlive what it returns. Where memory does not suffice for this clip and the one that is
  // being finished, it waits for that.
  //
  // Cancelled: throws Error(kCancelled) within a block. Cut: writes a checkpoint at the next
  // refresh point, the end of denoising or between frame groups, then throws Error(kInterrupted);
  // where there is nothing newer to keep than what it began from (no step is done, no folder) it
  // throws within a block. An unusable resume_from is Error(kInvalidCheckpoint) that begins with
  // "the checkpoint", before anything is rendered.
  //
  // After any error but kDeviceLost the engine renders the next clip as if nothing had happened.
  virtual std::unique_ptr<DenoisedClip> denoise(const RenderOptions& options, RenderSink& sink,
                                                const RenderSignals& signals) = 0;
  // The second half, on the finishing lane. Throws as denoise().
  virtual RenderResult finish(std::unique_ptr<DenoisedClip> clip) = 0;
  // Both halves, on both lanes at once.
  RenderResult render(const RenderOptions& options, RenderSink& sink,
                      const RenderSignals& signals) {
    return finish(denoise(options, sink, signals));
  }
  // Renders a clip with everything computed, and once more from every step on with that step's
  // trunk reused: how steps and modules change, and what it matters, is what a schedule is found
  // from. The request's policy must be none. On both lanes at once. Throws as denoise().
  virtual std::vector<StepRecord> record(const RenderRequest& request, const RenderSignals& signals,
                                         const PassProgress& on_step) = 0;
  // How far the clip is from its own under policy none, which must be the request's, under each of
  // `policies`. As record().
  virtual std::vector<FrameDifference> compare(const RenderRequest& request,
                                               const std::vector<PolicySpec>& policies,
                                               const RenderSignals& signals,
                                               const PassProgress& on_step) = 0;
};

// SHA-256 over the weights of all parts of a model folder, the same for any container of the same
// weights. What is kept in `cache_folder` (empty: nothing) spares reading files that are unchanged.
std::string model_digest(const std::filesystem::path& model,
                         const std::filesystem::path& cache_folder = {});

}  // namespace engine
