// Prompts to captions, each encoded once: what the text encoder gave is kept on disk by content,
// for later clips, later starts and the other engines of a machine. Where every prompt is kept, the
// text encoder (19 GB of T5-XXL in fp32) is never loaded.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/conditions.h"
#include "pipeline/model_parts.h"
#include "pipeline/text_stage.h"

namespace engine {

class PromptEncoder {
 public:
  // `length`: tokens a prompt is padded and cut to; compute: kF32 or kBF16. With a cache the text
  // encoder's files are checked now (names, shapes and types of its tensors) and loaded when a
  // prompt asks for them; without one they are loaded at once. `parts` outlives this object. Throws
  // as Engine::load().
  PromptEncoder(ModelParts& parts, int64_t length, DType compute);

  // The bits are the same whether it was kept or is computed, but for rows that the mask leaves
  // out: those are zeros of a kept one. Throws as TextStage::encode(), and as Engine::load() where
  // the encoder is loaded now.
  Caption encode(const std::string& prompt, const std::function<bool()>& cancelled);
  // Whether all these prompts are kept. They are read now, and given out by encode(); what was read
  // for other ones is forgotten.
  bool kept(const std::vector<std::string>& prompts);
  // Whether the text encoder is in memory.
  bool loaded() const { return stage_.has_value(); }

 private:
  std::string key_of(const std::string& prompt) const;
  std::optional<Caption> read(const std::string& prompt) const;
  void load();

  ModelParts& parts_;
  int64_t length_;
  DType compute_;
  std::string key_;  // all of a kept caption's key but the prompt; empty without a cache
  std::optional<T5Tokenizer> tokenizer_;  // until the stage has it
  std::optional<TextStage> stage_;
  std::map<std::string, Caption> read_;  // by kept(), until encode() gives them out
};

}  // namespace engine
