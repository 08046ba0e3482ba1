// When a render writes checkpoints, and where it may be cut: at refresh points and at the end of
// denoising, when the period is over or others ask for it. Whether a step is one, the render says:
// a dynamic policy decides it while the step runs.
#pragma once

#include <chrono>
#include <filesystem>

#include "backend/backend.h"
#include "engine/engine.h"
#include "pipeline/latent_stage.h"
#include "pipeline/render_checkpoint.h"

namespace engine {

struct CheckpointSettings {
  std::filesystem::path folder;  // empty: no checkpoints
  double period_seconds = 0;
  ClipIdentity clip;
  int first_step = 0;  // what the attempt begins with
};

// Lives as long as one render; its period begins with it.
class Checkpointer {
 public:
  Checkpointer(Backend& backend, CheckpointSettings settings, RenderSink& sink,
               const RenderSignals& signals);

  // Called once for each step and, with the number of steps, after the last; `state` is in the
  // device's memory, as it was before the step. Throws Error(kInterrupted) where a cut takes
  // effect.
  void between_steps(int step, const LatentState& state);
  // For what polls while it encodes or denoises: a cut ends that at once only when waiting for the
  // next refresh point could save nothing.
  bool stops_denoising() const;
  // Decoding can be left at any moment: the final latent is its checkpoint.
  bool stops_decoding() const { return signals_.cancelled || signals_.cut; }
  // Called when decoding was stopped: keeps the final latent, should a cut be the reason.
  void leave_decoding(ConstTensorView latent);

 private:
  bool period_is_over() const;
  Tensor host_copy(ConstTensorView device) const;
  // A failure is told and forgotten: no clip is lost because a disk is full.
  void save(int step, const LatentState& state);

  Backend& backend_;
  CheckpointSettings settings_;
  RenderSink& sink_;
  const RenderSignals& signals_;
  std::chrono::steady_clock::time_point period_start_;
  bool has_progress_ = false;  // a step of this attempt is done
  int saved_step_;             // of the newest checkpoint
};

}  // namespace engine
