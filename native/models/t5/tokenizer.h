// Text to T5 token ids by the model's own SentencePiece file. Built only with TOCAFARM_TEXT;
// without it load() says what to install.
#pragma once

#include <filesystem>
#include <memory>
#include <string_view>

#include "core/tensor.h"

namespace engine {

// Host memory, one batch row, as T5Encoder::encode takes it.
struct TextTokens {
  Tensor ids;         // [1, L], i32: pieces, end of sequence, then padding
  Tensor mask;        // [1, L], u8: 1 for pieces and end of sequence
  int64_t count = 0;  // ones of the mask
};

class T5Tokenizer {
 public:
  // `folder` holds spiece.model and, if the model has them, tokenizer_config.json and
  // special_tokens_map.json (they say how many <extra_id_i> there are; transformers' default is
  // 100). Throws Error(kNotFound | kIo), Error(kInvalidCheckpoint) for a damaged file,
  // Error(kUnsupported) when built without SentencePiece.
  static T5Tokenizer load(const std::filesystem::path& folder);

  T5Tokenizer(T5Tokenizer&&) noexcept;
  T5Tokenizer& operator=(T5Tokenizer&&) noexcept;
  ~T5Tokenizer();

  // Cleaned text, UTF-8, to exactly `length` ids: at most length - 1 pieces, then the end of
  // sequence. "<extra_id_i>" is one token, as in transformers. Throws Error(kInvalidArgument) for a
  // length below 1.
  TextTokens encode(std::string_view text, int64_t length) const;

  // Ids that encode() may give: pieces and extra ids.
  int64_t vocabulary() const;

 private:
  struct State;
  explicit T5Tokenizer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace engine
