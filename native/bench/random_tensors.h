// Tensors with random values, to be written as a checkpoint: for measuring speed and memory where
// no trained model of the size is at hand.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/tensor.h"

namespace engine::bench {

// Every tensor draws from a stream of its own, so its values do not depend on the others. All are
// stored as fp16.
class RandomTensors {
 public:
  void normal(const std::string& name, Shape shape, double deviation);
  void ones(const std::string& name, Shape shape);
  // Weight and bias of a layer whose outputs each are a sum over `fan_in` inputs; variance kept
  // over the layer.
  void layer(const std::string& name, Shape weight, int64_t fan_in, bool has_bias = true);
  void linear(const std::string& name, int64_t out, int64_t in) { layer(name, {out, in}, in); }

  // As safetensors. Throws Error(kIo).
  void write(const std::filesystem::path& file) const;

 private:
  std::vector<std::string> names_;
  std::vector<Tensor> tensors_;
};

}  // namespace engine::bench
