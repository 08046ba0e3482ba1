#include "tests/operation_table/workbench.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "core/philox.h"

namespace engine::operation_table {

namespace {

constexpr int kUnwritten = 0x5a;

std::vector<float> uniform(int64_t count, uint64_t seed) {
  std::vector<float> values(static_cast<size_t>(count));
  fill_uniform(values, seed, kScoreStream);
  return values;
}

}  // namespace

Source normal(Shape shape, uint64_t seed, DType dtype) {
  Tensor values(shape, DType::kF32);
  fill_normal({values.f32(), static_cast<size_t>(values.elements())}, seed, kInitialLatentStream);
  if (dtype == DType::kF32) return std::make_shared<const Tensor>(std::move(values));
  Tensor rounded(shape, dtype);
  for (int64_t i = 0; i < values.elements(); ++i) {
    rounded.view().bf16()[i] =
        dtype == DType::kBF16 ? bf16_from_float(values.f32()[i]) : f16_from_float(values.f32()[i]);
  }
  return std::make_shared<const Tensor>(std::move(rounded));
}

Source integers(Shape shape, uint64_t seed, int32_t bound, DType dtype) {
  Tensor values(shape, dtype);
  const std::vector<float> draws = uniform(values.elements(), seed);
  for (size_t i = 0; i < draws.size(); ++i) {
    const auto value = static_cast<int32_t>(draws[i] * static_cast<float>(bound));
    if (dtype == DType::kU8) {
      values.view().u8()[i] = static_cast<uint8_t>(value);
    } else {
      values.view().i32()[i] = value;
    }
  }
  return std::make_shared<const Tensor>(std::move(values));
}

Source distinct(int64_t batch, int64_t count, int64_t tokens, uint64_t seed) {
  Tensor indices({batch, count}, DType::kI32);
  std::vector<int32_t> order(static_cast<size_t>(tokens));
  for (int64_t b = 0; b < batch; ++b) {
    const std::vector<float> draws = uniform(tokens, seed + static_cast<uint64_t>(b));
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int32_t left, int32_t right) {
      return draws[static_cast<size_t>(left)] < draws[static_cast<size_t>(right)];
    });
    std::sort(order.begin(), order.begin() + count);
    std::copy_n(order.begin(), count, indices.view().i32() + b * count);
  }
  return std::make_shared<const Tensor>(std::move(indices));
}

Source floats(Shape shape, const std::vector<float>& values) {
  Tensor tensor(shape, DType::kF32);
  std::copy(values.begin(), values.end(), tensor.f32());
  return std::make_shared<const Tensor>(std::move(tensor));
}

TensorView Workbench::place(ConstTensorView host) {
  held_.push_back(backend_.allocate(host.shape(), host.dtype()));
  backend_.upload(host, held_.back());
  return held_.back();
}

ConstTensorView Workbench::in(const Source& source) {
  return place(*source);
}

ConstTensorView Workbench::in(const Source& source, Rows rows) {
  return place(source->view().rows(rows.first, rows.count));
}

TensorView Workbench::out(Shape shape, DType dtype) {
  Tensor pattern(shape, dtype);
  if (pattern.bytes() > 0) std::memset(pattern.view().data(), kUnwritten, pattern.bytes());
  outputs_.push_back(place(pattern));
  return outputs_.back();
}

TensorView Workbench::inout(const Source& source) {
  outputs_.push_back(place(*source));
  return outputs_.back();
}

TensorView Workbench::inout(const Source& source, Rows rows) {
  outputs_.push_back(place(source->view().rows(rows.first, rows.count)));
  return outputs_.back();
}

std::vector<Tensor> Workbench::results() {
  backend_.synchronize();
  std::vector<Tensor> results;
  for (const TensorView& output : outputs_) {
    results.emplace_back(output.shape(), output.dtype());
    backend_.download(output, results.back());
  }
  return results;
}

std::string case_name(const std::string& operation, std::initializer_list<int64_t> sizes,
                      DType dtype) {
  std::string name = operation;
  char separator = '_';
  for (const int64_t size : sizes) {
    name += separator + std::to_string(size);
    separator = 'x';
  }
  return name + "_" + dtype_name(dtype);
}

double tolerance_of(DType dtype) {
  return dtype == DType::kBF16 ? 1e-2 : 1e-5;
}

}  // namespace engine::operation_table
