#include "pipeline/text_stage.h"

#include <algorithm>
#include <utility>

namespace engine {

TextStage::TextStage(ModelParts& parts, T5Tokenizer tokenizer, int64_t length, DType compute)
    : backend_(parts.backend()),
      length_(length),
      tokenizer_(std::move(tokenizer)),
      encoder_(parts.load("text_encoder", compute, [&](const std::filesystem::path& folder) {
        return T5Encoder::load(backend_, folder, compute);
      })) {}

TextStage::TextStage(Backend& backend, const std::filesystem::path& tokenizer,
                     const std::filesystem::path& text_encoder, int64_t length)
    : backend_(backend),
      length_(length),
      tokenizer_(T5Tokenizer::load(tokenizer)),
      encoder_(T5Encoder::load(backend, text_encoder)) {}

Caption TextStage::encode(const std::string& prompt, const std::function<bool()>& cancelled) const {
  const TextTokens tokens = tokenizer_.encode(prompt, length_);
  const Tensor hidden =
      encoder_.encode(tokens.ids, tokens.mask, {.cancelled = cancelled, .after_block = {}});
  Caption caption{.embedding = Tensor(hidden.shape(), DType::kF32),
                  .mask = Tensor(tokens.mask.shape(), DType::kI32)};
  backend_.download(hidden, caption.embedding);
  const uint8_t* mask = tokens.mask.view().u8();
  std::copy(mask, mask + tokens.mask.elements(), caption.mask.view().i32());
  return caption;
}

}  // namespace engine
