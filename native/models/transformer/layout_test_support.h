// A checkpoint in the original layout given again in diffusers' layout, for tests that both load
// the same model.
#pragma once

#include <string>
#include <vector>

#include "core/checkpoint.h"

namespace engine {

// Tensors under new names; views into the checkpoint that they were taken from.
class RenamedTensors {
 public:
  explicit RenamedTensors(const Checkpoint& source) : source_(&source) {}

  void add(const std::string& name, ConstTensorView tensor) { tensors_.push_back({name, tensor}); }
  // One tensor.
  void tensor(const std::string& from, const std::string& to) { add(to, source_->get(from)); }
  // Weight and bias.
  void layer(const std::string& from, const std::string& to) { split(from, {to}); }
  // Weight and bias of a layer whose outputs are those of several.
  void split(const std::string& from, const std::vector<std::string>& to) {
    for (const char* const part : {".weight", ".bias"}) {
      const ConstTensorView whole = source_->get(from + part);
      const auto count = static_cast<int64_t>(to.size());
      const int64_t rows = whole.dim(0) / count;
      for (int64_t i = 0; i < count; ++i) {
        add(to[static_cast<size_t>(i)] + part, whole.rows(i * rows, rows));
      }
    }
  }
  // What all image transformers have in a block.
  void block(int index, bool cross_attention) {
    const std::string from = "blocks." + std::to_string(index) + ".";
    const std::string to = "transformer_blocks." + std::to_string(index) + ".";
    split(from + "attn.qkv", {to + "attn1.to_q", to + "attn1.to_k", to + "attn1.to_v"});
    layer(from + "attn.proj", to + "attn1.to_out.0");
    layer(from + "mlp.fc1", to + "ff.net.0.proj");
    layer(from + "mlp.fc2", to + "ff.net.2");
    if (!cross_attention) return;
    layer(from + "cross_attn.q_linear", to + "attn2.to_q");
    split(from + "cross_attn.kv_linear", {to + "attn2.to_k", to + "attn2.to_v"});
    layer(from + "cross_attn.proj", to + "attn2.to_out.0");
  }

  std::vector<NamedTensor>& tensors() { return tensors_; }

 private:
  const Checkpoint* source_;
  std::vector<NamedTensor> tensors_;
};

}  // namespace engine
