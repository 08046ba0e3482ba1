// For the pipeline's tests: a small clip of the demo model, and a sink that keeps what a render
// tells and can stop it in the middle of anything.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/sha256.h"
#include "core/test_support.h"
#include "engine/engine.h"

namespace engine {

inline RenderRequest small_request() {
  RenderRequest request;
  request.prompt = "a red circle moves right on a white background";
  request.frames = 17;
  request.height = 64;
  request.width = 48;
  request.fps = 8;
  request.steps = 6;
  request.guidance = 4;
  request.seed = 7;
  request.policy = {.name = "toca", .options = {}};
  return request;
}

class Recorder : public RenderSink {
 public:
  void on_stage(Stage stage, double) override { stages.push_back(stage_name(stage)); }
  void on_step(const StepReport& report) override {
    steps.push_back(report);
    if (after_step) after_step(report.step);
  }
  void on_checkpoint(const RenderCheckpoint& checkpoint) override {
    checkpoints.push_back(checkpoint);
    if (after_checkpoint) after_checkpoint(checkpoint.step);
  }
  void on_checkpoint_failed(int, const std::string& message) override {
    failures.push_back(message);
  }
  void on_frames(ConstTensorView rgb, int first) override {
    EXPECT_EQ(first, frames);
    frames += static_cast<int>(rgb.dim(0));
    bytes.insert(bytes.end(), rgb.u8(), rgb.u8() + rgb.elements());
    if (after_frames) after_frames(frames);
  }

  std::string digest() const { return sha256_hex(std::as_bytes(std::span(bytes))); }
  std::vector<int> checkpoint_steps() const {
    std::vector<int> found;
    for (const RenderCheckpoint& checkpoint : checkpoints) found.push_back(checkpoint.step);
    return found;
  }

  std::function<void(int step)> after_step;
  std::function<void(int step)> after_checkpoint;
  std::function<void(int frames)> after_frames;  // so many so far

  std::vector<std::string> stages;
  std::vector<StepReport> steps;
  std::vector<RenderCheckpoint> checkpoints;
  std::vector<std::string> failures;
  std::vector<uint8_t> bytes;
  int frames = 0;
  RenderSignals signals;
};

}  // namespace engine
