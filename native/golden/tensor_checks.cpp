#include "golden/tensor_checks.h"

#include <algorithm>
#include <cmath>

#include "golden/part_checks.h"

namespace engine {

ConstTensorView golden_tensor(const GoldenCase& golden, const std::string& name, DType dtype,
                              const Shape& shape) {
  const ConstTensorView tensor = golden.tensor(name);
  if (tensor.dtype() == dtype && tensor.shape() == shape) return tensor;
  throw Error(ErrorCode::kInvalidCheckpoint, golden.folder().string() + ": tensor " + name +
                                                 " is " + dtype_name(tensor.dtype()) + " " +
                                                 tensor.shape().to_string() + ", expected " +
                                                 dtype_name(dtype) + " " + shape.to_string());
}

ConstTensorView golden_latent(const GoldenCase& golden, const std::string& name, int64_t channels) {
  const ConstTensorView latent = golden.tensor(name);
  const Shape shape = latent.shape();
  const bool valid = latent.dtype() == DType::kF32 && shape.rank() == 5 && shape.elements() > 0 &&
                     shape[1] == channels;
  if (valid) return latent;
  throw Error(ErrorCode::kInvalidCheckpoint, golden.folder().string() + ": tensor " + name +
                                                 " is " + dtype_name(latent.dtype()) + " " +
                                                 shape.to_string() + ", expected fp32 [n, " +
                                                 std::to_string(channels) + ", T, H, W]");
}

double golden_first(const GoldenCase& golden, const std::string& name, int64_t clips, double max) {
  const double value = golden_tensor(golden, name, DType::kF32, {clips}).f32()[0];
  if (value >= 1 && value <= max) return value;
  throw Error(ErrorCode::kInvalidCheckpoint, golden.folder().string() + ": " + name + " is " +
                                                 std::to_string(value) + ", expected 1 to " +
                                                 std::to_string(max));
}

double golden_scalar(const GoldenCase& golden, const std::string& name, int64_t clips, double max) {
  const ConstTensorView values = golden_tensor(golden, name, DType::kF32, {clips});
  for (int64_t i = 1; i < clips; ++i) {
    if (values.f32()[i] == values.f32()[0]) continue;
    throw Error(ErrorCode::kUnsupported,
                golden.folder().string() + ": " + name + " differs between the clips of one batch");
  }
  return golden_first(golden, name, clips, max);
}

std::filesystem::path golden_transformer(const GoldenCase& golden, const GoldenOptions& options) {
  return golden_part_folder(golden, options, "transformer");
}

namespace {

// 20 log10 of RMS(expected) / RMS(difference).
double signal_to_noise_db(ConstTensorView found, ConstTensorView expected) {
  double signal = 0, noise = 0;
  for (int64_t i = 0; i < expected.elements(); ++i) {
    const double want = expected.f32()[i], difference = found.f32()[i] - want;
    signal += want * want;
    noise += difference * difference;
  }
  if (std::isnan(noise)) return -HUGE_VAL;
  return noise == 0 ? HUGE_VAL : 10 * std::log10(signal / noise);
}

}  // namespace

double WorstTensor::measure(ConstTensorView found, ConstTensorView expected,
                            GoldenCheck& result) const {
  if (bound_.signal_to_noise_db > 0) {
    engine::check(found.elements() == expected.elements(), "golden tensors of one size");
    result.unit = "dB";
    result.error = signal_to_noise_db(found, expected);
    result.bound = bound_.signal_to_noise_db;
    // As a ratio of amplitudes, so that it grows with the difference as the other measure does.
    return std::pow(10.0, (result.bound - result.error) / 20);
  }
  result.error = largest_difference(found, expected);
  result.bound = std::max(10 * bound_.reference_error,
                          bound_.floor * std::max(1.0, largest_magnitude(expected)));
  return result.error / result.bound;
}

void WorstTensor::compare(const std::string& name, ConstTensorView found,
                          ConstTensorView expected) {
  GoldenCheck result;
  const double excess = measure(found, expected, result);
  ++count_;
  if (excess <= worst_excess_) return;
  worst_excess_ = excess;
  worst_name_ = name;
  worst_ = result;
}

GoldenCheck WorstTensor::check() const {
  GoldenCheck result = worst_;
  result.what = what_;
  result.passed = worst_excess_ <= 1.0;
  if (count_ > 1) result.note = "worst of " + std::to_string(count_) + ": " + worst_name_;
  return result;
}

GoldenCheck golden_count(std::string what, int64_t differing) {
  GoldenCheck result;
  result.what = std::move(what);
  result.error = static_cast<double>(differing);
  result.unit = "count";
  result.passed = differing == 0;
  return result;
}

}  // namespace engine
