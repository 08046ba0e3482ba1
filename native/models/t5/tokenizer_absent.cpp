// The tokenizer of a build without SentencePiece: it can only say what is missing.
#include "engine/error.h"
#include "models/t5/tokenizer.h"

namespace engine {

struct T5Tokenizer::State {};

T5Tokenizer::T5Tokenizer(std::unique_ptr<State> state) : state_(std::move(state)) {}
T5Tokenizer::T5Tokenizer(T5Tokenizer&&) noexcept = default;
T5Tokenizer& T5Tokenizer::operator=(T5Tokenizer&&) noexcept = default;
T5Tokenizer::~T5Tokenizer() = default;

namespace {

[[noreturn]] void fail() {
  throw Error(ErrorCode::kUnsupported,
              "this engine was built without a tokenizer; install libsentencepiece-dev and "
              "configure with -DTOCAFARM_TEXT=ON");
}

}  // namespace

T5Tokenizer T5Tokenizer::load(const std::filesystem::path&) {
  fail();
}
TextTokens T5Tokenizer::encode(std::string_view, int64_t) const {
  fail();
}
int64_t T5Tokenizer::vocabulary() const {
  fail();
}

}  // namespace engine
