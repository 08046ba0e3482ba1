// Prompt to caption embeddings: tokenizer and T5 encoder of one model folder.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "models/t5/model.h"
#include "models/t5/tokenizer.h"
#include "pipeline/conditions.h"
#include "pipeline/model_parts.h"

namespace engine {

class TextStage {
 public:
  // `length`: tokens a prompt is padded and cut to (the transformer's model_max_length). compute:
  // kF32 or kBF16.
  TextStage(ModelParts& parts, T5Tokenizer tokenizer, int64_t length, DType compute);
  // In fp32.
  TextStage(Backend& backend, const std::filesystem::path& tokenizer,
            const std::filesystem::path& text_encoder, int64_t length);

  // `prompt` is cleaned text. Throws Error(kCancelled) between layers.
  Caption encode(const std::string& prompt, const std::function<bool()>& cancelled) const;
  const T5Config& config() const { return encoder_.config(); }

 private:
  Backend& backend_;
  int64_t length_;
  T5Tokenizer tokenizer_;
  T5Encoder encoder_;
};

}  // namespace engine
