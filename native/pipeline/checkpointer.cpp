#include "pipeline/checkpointer.h"

#include <utility>

#include "engine/error.h"

namespace engine {

Checkpointer::Checkpointer(Backend& backend, CheckpointSettings settings, RenderSink& sink,
                           const RenderSignals& signals)
    : backend_(backend),
      settings_(std::move(settings)),
      sink_(sink),
      signals_(signals),
      period_start_(std::chrono::steady_clock::now()),
      saved_step_(settings_.first_step) {}

void Checkpointer::between_steps(int step, const LatentState& state) {
  has_progress_ = step > settings_.first_step;
  const bool resumable = state.refresh_point || step == settings_.clip.steps;
  if (!has_progress_ || settings_.folder.empty() || !resumable) return;
  const bool cut = signals_.cut && !signals_.cancelled;
  if (cut || period_is_over()) save(step, state);
  if (cut) {
    throw Error(ErrorCode::kInterrupted, "the render was cut before step " + std::to_string(step) +
                                             " of " + std::to_string(settings_.clip.steps));
  }
}

bool Checkpointer::stops_denoising() const {
  if (signals_.cancelled) return true;
  return signals_.cut && (!has_progress_ || settings_.folder.empty());
}

void Checkpointer::leave_decoding(ConstTensorView latent) {
  const bool kept = saved_step_ == settings_.clip.steps;
  if (signals_.cancelled || kept || settings_.folder.empty()) return;
  save(settings_.clip.steps, {.latent = latent});
}

bool Checkpointer::period_is_over() const {
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - period_start_;
  return elapsed.count() >= settings_.period_seconds;
}

Tensor Checkpointer::host_copy(ConstTensorView device) const {
  Tensor host(device.shape(), DType::kF32);
  backend_.download(device, host);
  return host;
}

void Checkpointer::save(int step, const LatentState& at) {
  const std::filesystem::path file = settings_.folder / render_checkpoint_name(step);
  try {
    SamplerState state{.step = step, .latent = host_copy(at.latent)};
    if (!at.history.empty()) state.history = host_copy(at.history);
    write_render_checkpoint(file, settings_.clip, state);
  } catch (const Error& error) {
    // The device's loss is the render's, the disk's is not.
    if (error.code() == ErrorCode::kDeviceLost) throw;
    period_start_ = std::chrono::steady_clock::now();
    sink_.on_checkpoint_failed(step, error.what());
    return;
  }
  period_start_ = std::chrono::steady_clock::now();
  saved_step_ = step;
  sink_.on_checkpoint({.step = step, .file = file});
}

}  // namespace engine
