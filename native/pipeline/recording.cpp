#include "pipeline/recording.h"

#include <cmath>
#include <cstdlib>
#include <string>
#include <utility>

#include "cache/change_recorder.h"
#include "core/check.h"

namespace engine {
namespace {

Tensor on_host(Backend& backend, ConstTensorView device) {
  if (device.empty()) return {};
  Tensor host(device.shape(), device.dtype());
  backend.download(device, host);
  return host;
}

// Of values of 0 to 255. Where two clips are near, most of their values round to the same: the mean
// of absolute differences is right even then, the mean of squares is not.
FrameDifference difference(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b) {
  check(a.size() == b.size() && !a.empty(), "frames of two sizes cannot be compared");
  double sum = 0, squares = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const int each = std::abs(static_cast<int>(a[i]) - static_cast<int>(b[i]));
    sum += each;
    squares += each * each;
  }
  const auto count = static_cast<double>(a.size());
  return {.mean_absolute = sum / count, .root_mean_square = std::sqrt(squares / count)};
}

}  // namespace

PolicySpec policy_without(int step, int steps) {
  std::string compute = std::to_string(0);
  for (int each = 1; each < steps; ++each) {
    if (each != step) compute.append(",").append(std::to_string(each));
  }
  return {.name = "mask", .options = {{"compute", compute}}};
}

Recording::Recording(Backend& backend, ClipModel& model, const RecordingJob& job)
    : backend_(backend), model_(model), job_(job) {}

std::vector<StepRecord> Recording::record() {
  total_ = job_.steps;
  for (int step = 1; step < job_.steps; ++step) total_ += job_.steps - step + 1;
  ChangeRecorder recorder(backend_);
  compute_everything(&recorder);
  std::vector<StepRecord>& steps = recorder.steps();
  for (int step = 1; step < job_.steps; ++step) {
    // The step before is done again, for what its trunk adds.
    steps[static_cast<size_t>(step)].output =
        difference_under(policy_without(step, job_.steps), step - 1).mean_absolute;
  }
  return std::move(steps);
}

std::vector<FrameDifference> Recording::compare(const std::vector<PolicySpec>& policies) {
  total_ = job_.steps * (1 + static_cast<int>(policies.size()));
  compute_everything(nullptr);
  std::vector<FrameDifference> differences;
  for (const PolicySpec& policy : policies) differences.push_back(difference_under(policy, 0));
  return differences;
}

void Recording::compute_everything(ChangeRecorder* recorder) {
  DenoiseJob pass;
  pass.initial_latent = job_.initial_latent;
  pass.recorder = recorder;
  pass.between_steps = [this](int step, const LatentState& at) {
    states_.push_back({.step = step,
                       .latent = on_host(backend_, at.latent),
                       .history = on_host(backend_, at.history)});
  };
  frames_ = decode(denoise(std::move(pass), *job_.request));
}

FrameDifference Recording::difference_under(const PolicySpec& policy, int first_step) {
  RenderRequest request = *job_.request;
  request.policy = policy;
  const SamplerState& from = states_[static_cast<size_t>(first_step)];
  DenoiseJob pass;
  pass.first_step = first_step;
  pass.initial_latent = from.latent;
  if (!from.history.empty()) pass.initial_history = from.history;
  return difference(decode(denoise(std::move(pass), request)), frames_);
}

Tensor Recording::denoise(DenoiseJob pass, const RenderRequest& request) {
  pass.request = &request;
  pass.conditions = job_.conditions;
  pass.cancelled = job_.cancelled;
  pass.on_step = [this](const StepReport&) { job_.on_step(++done_, total_); };
  return model_.denoise(pass);
}

std::vector<uint8_t> Recording::decode(ConstTensorView latent) {
  std::vector<uint8_t> frames;
  const VaeFrameSink sink = [&frames](int64_t, ConstTensorView rgb) {
    frames.insert(frames.end(), rgb.u8(), rgb.u8() + rgb.elements());
  };
  const VaeHooks hooks{.cancelled = job_.cancelled, .tap = {}};
  model_.decode(latent, job_.request->frames, sink, hooks);
  return frames;
}

}  // namespace engine
