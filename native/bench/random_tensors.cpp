#include "bench/random_tensors.h"

#include <algorithm>
#include <cmath>

#include "core/checkpoint.h"
#include "core/philox.h"

namespace engine::bench {
namespace {

constexpr uint64_t kSeed = 1;
constexpr double kBiasDeviation = 0.02;

}  // namespace

void RandomTensors::normal(const std::string& name, Shape shape, double deviation) {
  tensors_.emplace_back(shape, DType::kF16);
  std::vector<float> values(static_cast<size_t>(shape.elements()));
  fill_normal(values, kSeed, names_.size());
  auto* bits = static_cast<uint16_t*>(tensors_.back().view().data());
  for (size_t i = 0; i < values.size(); ++i)
    bits[i] = f16_from_float(static_cast<float>(values[i] * deviation));
  names_.push_back(name);
}

void RandomTensors::ones(const std::string& name, Shape shape) {
  tensors_.emplace_back(shape, DType::kF16);
  auto* bits = static_cast<uint16_t*>(tensors_.back().view().data());
  std::fill_n(bits, shape.elements(), f16_from_float(1.0f));
  names_.push_back(name);
}

void RandomTensors::layer(const std::string& name, Shape weight, int64_t fan_in, bool has_bias) {
  normal(name + ".weight", weight, 1.0 / std::sqrt(static_cast<double>(fan_in)));
  if (has_bias) normal(name + ".bias", {weight[0]}, kBiasDeviation);
}

void RandomTensors::write(const std::filesystem::path& file) const {
  std::vector<NamedTensor> named;
  for (size_t i = 0; i < names_.size(); ++i) named.push_back({names_[i], tensors_[i]});
  write_safetensors(file, named);
}

}  // namespace engine::bench
