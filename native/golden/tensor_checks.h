// Comparing many tensors of one kind in one line of the table: the worst of them stands for all.
#pragma once

#include <string>

#include "golden/golden_case.h"

namespace engine {

// `name` of the case as `dtype` of this shape; throws Error(kInvalidCheckpoint) naming both.
ConstTensorView golden_tensor(const GoldenCase& golden, const std::string& name, DType dtype,
                              const Shape& shape);

// `name` as fp32 [n, C, T, H, W] without an empty axis; throws Error(kInvalidCheckpoint).
ConstTensorView golden_latent(const GoldenCase& golden, const std::string& name, int64_t channels);

// A tensor of one number for each clip: that of clip 0. Throws Error(kInvalidCheckpoint) when it is
// not from 1 to `max`.
double golden_first(const GoldenCase& golden, const std::string& name, int64_t clips, double max);
// The same where all must be alike: Error(kUnsupported) when they differ.
double golden_scalar(const GoldenCase& golden, const std::string& name, int64_t clips, double max);

// The model folder: the one given, else the case's; or its `transformer` part.
std::filesystem::path golden_transformer(const GoldenCase& golden, const GoldenOptions& options);

// What a tensor is held to: in fp32 its largest difference, in bf16, where single values stray, the
// power of the difference against that of the reference.
struct TensorBound {
  // Largest difference: ten times what the reference itself loses against float64, and never less
  // than this share of the largest value (at least of 1).
  double reference_error = 0;
  double floor = 0;
  // Least ratio of reference to difference in dB, in place of the above when above 0.
  double signal_to_noise_db = 0;
};

class WorstTensor {
 public:
  WorstTensor(std::string what, const TensorBound& bound) : what_(std::move(what)), bound_(bound) {}

  // Both fp32, host memory.
  void compare(const std::string& name, ConstTensorView found, ConstTensorView expected);
  bool compared_any() const { return count_ > 0; }
  GoldenCheck check() const;

 private:
  // How far the tensor is from its bound: above 1 it fails. Fills `result`.
  double measure(ConstTensorView found, ConstTensorView expected, GoldenCheck& result) const;

  std::string what_;
  TensorBound bound_;
  int count_ = 0;
  std::string worst_name_;
  double worst_excess_ = -1;
  GoldenCheck worst_;
};

// So many things differ where none may.
GoldenCheck golden_count(std::string what, int64_t differing);

}  // namespace engine
