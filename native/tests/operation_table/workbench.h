// What the cases of the operation table are made of: reproducible random tensors, and a bench that
// carries inputs to a backend and results back.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"

namespace engine::operation_table {

// A host tensor shared by all runs of a case.
using Source = std::shared_ptr<const Tensor>;

Source normal(Shape shape, uint64_t seed, DType dtype = DType::kF32);
// Uniform integers in [0, bound), i32 or u8.
Source integers(Shape shape, uint64_t seed, int32_t bound, DType dtype = DType::kI32);
// For each of `batch` rows `count` distinct tokens of [0, tokens), ascending, i32.
Source distinct(int64_t batch, int64_t count, int64_t tokens, uint64_t seed);
Source floats(Shape shape, const std::vector<float>& values);

// A range of the rows that a case says are independent.
struct Rows {
  int64_t first = 0;
  int64_t count = 0;
};

class Workbench {
 public:
  explicit Workbench(Backend& backend) : backend_(backend) {}

  Backend& backend() { return backend_; }
  ConstTensorView in(const Source& source);
  ConstTensorView in(const Source& source, Rows rows);  // of axis 0
  // A result, filled with a pattern that no operation writes.
  TensorView out(Shape shape, DType dtype);
  // A result that starts as a copy.
  TensorView inout(const Source& source);
  TensorView inout(const Source& source, Rows rows);
  // The results in the order in which they were asked for, on the host.
  std::vector<Tensor> results();

 private:
  TensorView place(ConstTensorView host);

  Backend& backend_;
  std::deque<Tensor> held_;
  std::vector<TensorView> outputs_;
};

using Runner = std::function<void(Workbench&, Rows)>;

struct OperationCase {
  std::string name;  // letters, digits and underscores
  int64_t rows = 1;  // independent rows: the leading axis of every result, or 1
  double tolerance;  // largest difference from plain, as a share of the largest value; 0 = equal
  std::function<Runner()> prepare;  // makes the inputs
};

// "rms_norm_5x1152_bf16"
std::string case_name(const std::string& operation, std::initializer_list<int64_t> sizes,
                      DType dtype = DType::kF32);
// Rounding of fp32 sums over some thousand terms; of bf16 one unit in the last place.
double tolerance_of(DType dtype);

std::vector<OperationCase> product_cases();
std::vector<OperationCase> attention_cases();
std::vector<OperationCase> token_cases();
std::vector<OperationCase> selection_cases();
std::vector<OperationCase> sampler_cases();
std::vector<OperationCase> frame_cases();
std::vector<OperationCase> change_cases();
std::vector<OperationCase> cluster_cases();
std::vector<OperationCase> kept_cases();

}  // namespace engine::operation_table
