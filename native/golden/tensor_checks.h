// Comparing many tensors of one kind in one line of the table: the worst of them stands for all.
#pragma once

#include <string>

#include "golden/golden_case.h"

namespace engine {

// `name` of the case as `dtype` of this shape; throws Error(kInvalidCheckpoint) naming both.
ConstTensorView golden_tensor(const GoldenCase& golden, const std::string& name, DType dtype,
                              const Shape& shape);

// A tensor of one number for each clip, all alike, as that number. Throws Error(kUnsupported) when
// they differ.
double golden_scalar(const GoldenCase& golden, const std::string& name, int64_t clips);

// The model folder: the one given, else the case's; or its `transformer` part.
std::filesystem::path golden_transformer(const GoldenCase& golden, const GoldenOptions& options);

class WorstTensor {
 public:
  // `reference_error`: what the reference itself loses against float64, 0 when not known.
  // `floor`: the least bound, as a share of the largest value (at least of 1).
  WorstTensor(std::string what, double reference_error, double floor);

  void compare(const std::string& name, ConstTensorView found, ConstTensorView expected);
  bool compared_any() const { return count_ > 0; }
  GoldenCheck check() const;

 private:
  std::string what_;
  double reference_error_;
  double floor_;
  int count_ = 0;
  std::string worst_name_;
  double worst_error_ = 0;
  double worst_bound_ = 0;
  double worst_ratio_ = -1;
};

// So many things differ where none may.
GoldenCheck golden_count(std::string what, int64_t differing);

}  // namespace engine
