#include "cache/change_recorder.h"

#include <cmath>
#include <utility>

#include "core/check.h"

namespace engine {

namespace {

double root_mean_square(std::span<const float> values) {
  double sum = 0;
  for (const float value : values) sum += static_cast<double>(value) * value;
  return std::sqrt(sum / static_cast<double>(values.size()));
}

std::span<const float> values_of(const Tensor& tensor) {
  return {tensor.view().f32(), static_cast<size_t>(tensor.view().elements())};
}

}  // namespace

std::vector<double> ChangeRecorder::History::add(std::vector<float> now) {
  std::vector<double> changes;
  std::vector<float> difference(now.size());
  for (const std::vector<float>& before : kept_) {
    for (size_t i = 0; i < now.size(); ++i) difference[i] = now[i] - before[i];
    changes.push_back(root_mean_square(difference));
  }
  kept_.push_front(std::move(now));
  if (kept_.size() > kRecordedSteps) kept_.pop_back();
  return changes;
}

void ChangeRecorder::begin(int step, ConstTensorView x) {
  if (!trunk_sample_) prepare(x.shape());
  trunk_sample_->read(x, trunk_host_);
  const std::span<const float> values = values_of(trunk_host_);
  residual_.assign(values.begin(), values.end());
  steps_.push_back(
      {.step = step, .timestep = 0, .stream = 0, .trunk = {}, .output = 0, .modules = {}});
}

void ChangeRecorder::ran(const ModuleSite& site, ConstTensorView output, ConstTensorView gate) {
  check(!steps_.empty() && steps_.back().step == site.step, "a module outside of its step");
  StepRecord& step = steps_.back();
  const size_t index = step.modules.size();
  if (index == modules_.size()) modules_.emplace_back();
  module_sample_->read(output, module_host_);
  const std::span<const float> values = values_of(module_host_);
  std::vector<float> added(values.begin(), values.end());
  if (!gate.empty()) {
    backend_.download(gate, gate_host_);
    const std::span<const float> factors = values_of(gate_host_);
    for (size_t i = 0; i < added.size(); ++i) added[i] *= factors[i % factors.size()];
  }
  step.modules.push_back({.layer = site.layer,
                          .block = site.block,
                          .module = site.module,
                          .changes = modules_[index].add(std::move(added))});
}

void ChangeRecorder::end(ConstTensorView x) {
  trunk_sample_->read(x, trunk_host_);
  const std::span<const float> values = values_of(trunk_host_);
  for (size_t i = 0; i < residual_.size(); ++i) residual_[i] = values[i] - residual_[i];
  steps_.back().stream = root_mean_square(values);
  steps_.back().trunk = trunk_.add(std::move(residual_));
}

void ChangeRecorder::prepare(const Shape& stream) {
  const int64_t rows = stream[0] * stream[1], channels = stream[2];
  trunk_sample_.emplace(backend_, rows, channels, kRecordedTrunkRows);
  module_sample_.emplace(backend_, rows, channels, kRecordedModuleRows);
  trunk_host_ = Tensor({1, trunk_sample_->count(), channels}, DType::kF32);
  module_host_ = Tensor({1, module_sample_->count(), channels}, DType::kF32);
  gate_host_ = Tensor({channels}, DType::kF32);
}

}  // namespace engine
