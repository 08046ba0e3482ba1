// Records what a render that computes everything changes from step to step (engine/record.h). It
// only reads, so no bit of the render depends on it.
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "cache/policy_run.h"
#include "cache/row_sample.h"
#include "engine/record.h"

namespace engine {

// Rows that are looked at. Of the trunk many; of each module as many as let a large model's last
// steps stay in host memory: 168 modules of Open-Sora v1.2, 16 steps of 48 rows, take 0.6 GiB.
inline constexpr int64_t kRecordedTrunkRows = 256;
inline constexpr int64_t kRecordedModuleRows = 48;

class ChangeRecorder {
 public:
  // Allocates a sample's rows on the device at the first step.
  explicit ChangeRecorder(Backend& backend) : backend_(backend) {}

  // Steps come in order; between begin() and end() every module of the model, always in the same
  // order. x: the residual stream before the first and after the last block, [rows, N, C], fp32.
  void begin(int step, ConstTensorView x);
  // output: [rows, N, C], fp32. gate: what it is multiplied by, [C], fp32; empty: by nothing.
  void ran(const ModuleSite& site, ConstTensorView output, ConstTensorView gate);
  void end(ConstTensorView x);

  // All steps so far, without their times and outputs.
  std::vector<StepRecord>& steps() { return steps_; }

 private:
  // A sample at the last steps, newest first.
  class History {
   public:
    // Root mean square of the difference to each that is kept, newest first; then `now` is kept.
    std::vector<double> add(std::vector<float> now);

   private:
    std::deque<std::vector<float>> kept_;
  };

  void prepare(const Shape& stream);

  Backend& backend_;
  std::optional<RowSample> trunk_sample_, module_sample_;
  Tensor trunk_host_, module_host_, gate_host_;
  std::vector<float> residual_;  // the stream before the first block, then what was added to it
  History trunk_;
  std::vector<History> modules_;
  std::vector<StepRecord> steps_;
};

}  // namespace engine
