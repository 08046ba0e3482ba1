// What calibration needs to know of one clip: a pass that computes everything and records what each
// step changes, and passes that leave something out, held against it frame by frame.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "engine/record.h"
#include "pipeline/clip_model.h"
#include "pipeline/render_checkpoint.h"

namespace engine {

struct RecordingJob {
  const RenderRequest* request = nullptr;  // policy none
  const Conditions* conditions = nullptr;
  ConstTensorView initial_latent;  // [1, C, T, h, w], fp32, host
  int steps = 0;
  std::function<bool()> cancelled;
  std::function<void(int done, int total)> on_step;  // of all passes together
};

// The policy that computes every step but one, whose trunk is the step's before.
PolicySpec policy_without(int step, int steps);

// The passes of one clip. Keeps the state before every step and the frames of the first pass in
// host memory. All throw as ClipModel does.
class Recording {
 public:
  // Everything that `job` refers to must outlive the object.
  Recording(Backend& backend, ClipModel& model, const RecordingJob& job);

  // How steps change, and what it matters.
  std::vector<StepRecord> record();
  // How far the clip is from its own under each of the policies, in order.
  std::vector<FrameDifference> compare(const std::vector<PolicySpec>& policies);

 private:
  void compute_everything(ChangeRecorder* recorder);
  // From the state before `first_step` on.
  FrameDifference difference_under(const PolicySpec& policy, int first_step);
  Tensor denoise(DenoiseJob pass, const RenderRequest& request);
  std::vector<uint8_t> decode(ConstTensorView latent);

  Backend& backend_;
  ClipModel& model_;
  const RecordingJob& job_;
  std::vector<SamplerState> states_;  // before every step, and the end
  std::vector<uint8_t> frames_;       // [frames, H, W, 3]
  int done_ = 0;
  int total_ = 0;
};

}  // namespace engine
