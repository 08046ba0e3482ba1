// A clip on its way from the denoising to the finishing lane.
#pragma once

#include <chrono>
#include <memory>
#include <optional>

#include "core/tensor.h"
#include "engine/engine.h"
#include "engine/error.h"
#include "pipeline/checkpointer.h"
#include "pipeline/lanes.h"

namespace engine {

// All that finishing needs to know, and the room that it was promised.
class ClipToFinish : public DenoisedClip {
 public:
  ClipToFinish(Lanes& room, RenderSink& events, const RenderSignals& raised)
      : sink(events), signals(raised), lanes_(room) {}
  ~ClipToFinish() override {
    if (promised_) lanes_.end_finishing(*promised_);
  }

  void expect_finishing(uint64_t bytes) {
    lanes_.expect_finishing(bytes);
    promised_ = bytes;
  }

  RenderSink& sink;
  const RenderSignals& signals;
  std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
  RenderResult result;
  std::unique_ptr<Checkpointer> checkpoints;
  Tensor latent;  // [1, C, T, h, w], fp32, device

 private:
  Lanes& lanes_;
  std::optional<uint64_t> promised_;
};

// Runs `work`; what it throws when it was stopped tells which of the two signals it was.
template <typename Work>
auto told_apart(const RenderSignals& signals, Work work) {
  try {
    return work();
  } catch (const Error& error) {
    // The stages know one way to stop.
    if (error.code() != ErrorCode::kCancelled || signals.cancelled) throw;
    throw Error(ErrorCode::kInterrupted, "the render was cut before it was whole");
  }
}

}  // namespace engine
