// The tokenizer on libsentencepiece.
#include <sentencepiece_processor.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <string>
#include <vector>

#include "core/json.h"
#include "engine/error.h"
#include "models/t5/spiece_check.h"
#include "models/t5/tokenizer.h"

namespace engine {
namespace {

// The published file has 0.8 MB; one with a million pieces has about 20.
constexpr std::uintmax_t kMaxSpieceBytes = 64 << 20;
constexpr int64_t kDefaultExtraIds = 100;  // transformers' T5 tokenizers
constexpr int64_t kMaxExtraIds = 1 << 16;
constexpr int64_t kMaxLength = 1 << 16;
constexpr std::string_view kExtraIdPrefix = "<extra_id_";

std::string read_spiece_file(const std::filesystem::path& file) {
  std::error_code error;
  const std::uintmax_t bytes = std::filesystem::file_size(file, error);
  if (error) throw Error(ErrorCode::kNotFound, file.string() + ": " + error.message());
  if (bytes > kMaxSpieceBytes) {
    throw Error(ErrorCode::kInvalidCheckpoint, file.string() + ": " + std::to_string(bytes) +
                                                   " bytes, at most " +
                                                   std::to_string(kMaxSpieceBytes) + " are read");
  }
  std::string content(bytes, '\0');
  std::ifstream stream(file, std::ios::binary);
  if (!stream.read(content.data(), static_cast<std::streamsize>(bytes))) {
    throw Error(ErrorCode::kIo, file.string() + ": cannot be read");
  }
  return content;
}

// Throws Error(kInvalidCheckpoint). The library reports by a status, but lets through what its trie
// builder throws, for example at a piece that begins with a zero byte.
void load_processor(const std::string& content, const std::filesystem::path& file,
                    sentencepiece::SentencePieceProcessor& processor) {
  std::string what;
  try {
    const auto status = processor.LoadFromSerializedProto(content);
    if (status.ok()) return;
    what = status.ToString();
  } catch (const std::exception& error) {
    what = error.what();
  }
  throw Error(ErrorCode::kInvalidCheckpoint, file.string() + ": " + what);
}

// Length of "<extra_id_i>" with 0 <= i < extra_ids at the start of `text`, and i; or 0.
size_t parse_extra_id(std::string_view text, int64_t extra_ids, int64_t& index) {
  if (!text.starts_with(kExtraIdPrefix)) return 0;
  const char* const first = text.data() + kExtraIdPrefix.size();
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(first, last, index);
  const bool canonical = end == first + 1 || *first != '0';
  if (error != std::errc() || end == last || *end != '>' || !canonical) return 0;
  if (index < 0 || index >= extra_ids) return 0;
  return static_cast<size_t>(end + 1 - text.data());
}

int64_t count_extra_ids(const Json& tokens) {
  int64_t count = 0;
  for (const Json& token : tokens) {
    int64_t index = 0;
    if (!token.is_string()) continue;
    const auto& text = token.get_ref<const std::string&>();
    count += parse_extra_id(text, kMaxExtraIds, index) == text.size() ? 1 : 0;
  }
  return count;
}

int64_t read_extra_ids(const std::filesystem::path& folder) {
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json"}) {
    const std::filesystem::path file = folder / name;
    if (!std::filesystem::exists(file)) continue;
    const Json json = read_json_file(file);
    if (json.contains("extra_ids")) {
      return json_int(json, "extra_ids", file.string(), 0, kMaxExtraIds);
    }
    const auto tokens = json.find("additional_special_tokens");
    if (tokens != json.end() && tokens->is_array()) return count_extra_ids(*tokens);
  }
  return kDefaultExtraIds;
}

}  // namespace

struct T5Tokenizer::State {
  sentencepiece::SentencePieceProcessor processor;
  int64_t extra_ids = 0;
  int32_t end_id = 1;
  int32_t pad_id = 0;

  void append_pieces(std::string_view text, std::vector<int32_t>& ids) const {
    std::vector<int> pieces;
    const auto status = processor.Encode({text.data(), text.size()}, &pieces);
    if (!status.ok()) throw Error(ErrorCode::kInternal, "SentencePiece: " + status.ToString());
    ids.insert(ids.end(), pieces.begin(), pieces.end());
  }

  // The highest extra id stands for <extra_id_0>.
  int32_t extra_id(int64_t index) const {
    return static_cast<int32_t>(processor.GetPieceSize() + extra_ids - 1 - index);
  }
};

T5Tokenizer::T5Tokenizer(std::unique_ptr<State> state) : state_(std::move(state)) {}
T5Tokenizer::T5Tokenizer(T5Tokenizer&&) noexcept = default;
T5Tokenizer& T5Tokenizer::operator=(T5Tokenizer&&) noexcept = default;
T5Tokenizer::~T5Tokenizer() = default;

T5Tokenizer T5Tokenizer::load(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "spiece.model";
  const std::string content = read_spiece_file(file);
  check_spiece_model(content, file.string());
  auto state = std::make_unique<State>();
  load_processor(content, file, state->processor);
  state->extra_ids = read_extra_ids(folder);
  if (state->processor.eos_id() >= 0) state->end_id = state->processor.eos_id();
  if (state->processor.pad_id() >= 0) state->pad_id = state->processor.pad_id();
  return T5Tokenizer(std::move(state));
}

TextTokens T5Tokenizer::encode(std::string_view text, int64_t length) const {
  if (length < 1 || length > kMaxLength) {
    throw Error(ErrorCode::kInvalidArgument, "a text of " + std::to_string(length) +
                                                 " tokens was asked for; 1 to " +
                                                 std::to_string(kMaxLength) + " are possible");
  }
  std::vector<int32_t> ids;
  size_t segment = 0;  // where the text not yet encoded begins
  for (size_t at = text.find(kExtraIdPrefix); at != std::string_view::npos;) {
    int64_t index = 0;
    const size_t tag_bytes = parse_extra_id(text.substr(at), state_->extra_ids, index);
    if (tag_bytes > 0) {
      state_->append_pieces(text.substr(segment, at - segment), ids);
      ids.push_back(state_->extra_id(index));
      segment = at + tag_bytes;
    }
    at = text.find(kExtraIdPrefix, at + std::max<size_t>(tag_bytes, 1));
  }
  state_->append_pieces(text.substr(segment), ids);
  ids.resize(std::min(ids.size(), static_cast<size_t>(length - 1)));
  ids.push_back(state_->end_id);

  TextTokens tokens{.ids = Tensor({1, length}, DType::kI32),
                    .mask = Tensor({1, length}, DType::kU8),
                    .count = static_cast<int64_t>(ids.size())};
  int32_t* const out = tokens.ids.view().i32();
  std::fill(std::copy(ids.begin(), ids.end(), out), out + length, state_->pad_id);
  uint8_t* const mask = tokens.mask.view().u8();
  std::fill(std::fill_n(mask, tokens.count, uint8_t{1}), mask + length, uint8_t{0});
  return tokens;
}

int64_t T5Tokenizer::vocabulary() const {
  return state_->processor.GetPieceSize() + state_->extra_ids;
}

}  // namespace engine
