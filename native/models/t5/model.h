// The T5 v1.1 encoder: token ids to the last hidden state, in fp32 (as the reference runs it) or
// in bf16: weights and embedding, and what linear layers read; norms, scores, softmax and the
// residual stream are fp32. Padding is masked as a key; padded rows are still computed and given
// back, as the reference does.
#pragma once

#include <filesystem>
#include <functional>

#include "models/t5/block.h"

namespace engine {

// Called while an encode runs; either may be empty.
struct T5Hooks {
  // Asked before each layer; true ends the call with Error(kCancelled).
  std::function<bool()> cancelled;
  // Block index and its output [batch · length, d_model], fp32, in the backend's memory.
  std::function<void(int64_t, ConstTensorView)> after_block;
};

class T5Encoder {
 public:
  // `folder` holds config.json and the weights in any container that Checkpoint opens.
  // compute: kF32 or kBF16. Throws Error(kNotFound | kInvalidCheckpoint | kUnsupported |
  // kOutOfMemory).
  static T5Encoder load(Backend& backend, const std::filesystem::path& folder,
                        DType compute = DType::kF32);

  // What load() would throw for files that are not as they must be, without reading a weight.
  static void check(const std::filesystem::path& folder);

  // ids [B, L] i32, mask [B, L] u8 (1 = a real token), both in host memory. Returns [B, L,
  // d_model], fp32, in the backend's memory. Throws Error(kInvalidCheckpoint) for an id outside of
  // the embedding: tokenizer and encoder do not belong together.
  Tensor encode(ConstTensorView ids, ConstTensorView mask, const T5Hooks& hooks = {}) const;

  const T5Config& config() const { return config_; }
  DType compute() const { return compute_; }

 private:
  T5Encoder(Backend& backend, T5Config config, DType compute, T5Weights weights)
      : backend_(&backend), config_(config), compute_(compute), weights_(std::move(weights)) {}

  void check_input(ConstTensorView ids, ConstTensorView mask) const;
  void embed(ConstTensorView ids, TensorView hidden) const;

  Backend* backend_;
  T5Config config_;
  DType compute_;
  T5Weights weights_;
};

}  // namespace engine
