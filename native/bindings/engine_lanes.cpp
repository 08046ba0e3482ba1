#include "bindings/engine_lanes.h"

namespace engine::bindings {

EngineLanes::~EngineLanes() {
  close();
}

std::shared_ptr<RenderControl> EngineLanes::new_control() {
  auto control = std::make_shared<RenderControl>();
  const std::lock_guard lock(mutex_);
  std::erase_if(controls_, [](const auto& known) { return known.expired(); });
  controls_.push_back(control);
  if (closing_) control->cancel();
  return control;
}

void EngineLanes::cancel() {
  const std::lock_guard lock(mutex_);
  for (const auto& known : controls_) {
    if (const auto control = known.lock()) control->cancel();
  }
}

void EngineLanes::close() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  cancel();
  // In this order: what leaves the denoising lane goes on the finishing one.
  denoising_.close();
  finishing_.close();
  engine.reset();
}

}  // namespace engine::bindings
