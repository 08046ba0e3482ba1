#include "golden/tensor_checks.h"

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

double golden_scalar(const GoldenCase& golden, const std::string& name, int64_t clips) {
  const ConstTensorView values = golden_tensor(golden, name, DType::kF32, {clips});
  for (int64_t i = 1; i < clips; ++i) {
    if (values.f32()[i] == values.f32()[0]) continue;
    throw Error(ErrorCode::kUnsupported,
                golden.folder().string() + ": " + name + " differs between the clips of one batch");
  }
  return values.f32()[0];
}

std::filesystem::path golden_transformer(const GoldenCase& golden, const GoldenOptions& options) {
  return golden_part_folder(golden, options, "transformer");
}

WorstTensor::WorstTensor(std::string what, double reference_error, double floor)
    : what_(std::move(what)), reference_error_(reference_error), floor_(floor) {}

void WorstTensor::compare(const std::string& name, ConstTensorView found,
                          ConstTensorView expected) {
  const double error = largest_difference(found, expected);
  const double bound =
      std::max(10 * reference_error_, floor_ * std::max(1.0, largest_magnitude(expected)));
  ++count_;
  if (error / bound <= worst_ratio_) return;
  worst_ratio_ = error / bound;
  worst_name_ = name;
  worst_error_ = error;
  worst_bound_ = bound;
}

GoldenCheck WorstTensor::check() const {
  GoldenCheck result;
  result.what = what_;
  result.error = worst_error_;
  result.bound = worst_bound_;
  result.passed = worst_ratio_ <= 1.0;
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
