#include "pipeline/prompt_encoder.h"

#include <algorithm>
#include <cstring>
#include <sstream>
#include <utility>
#include <vector>

#include "core/build_id.h"
#include "core/sha256.h"
#include "engine/error.h"

namespace engine {
namespace {

// Names and content of the files in a folder that are read whole: a tokenizer's, a config.
std::string files_digest(const std::filesystem::path& folder,
                         const std::function<bool(const std::filesystem::path&)>& counts) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.is_regular_file() && counts(entry.path())) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::string all;
  for (const auto& file : files) {
    const FileMapping mapping(file);
    all.append(file.filename().string()).append(" ").append(sha256_hex(mapping.bytes()));
    all.append("\n");
  }
  return sha256_hex(std::as_bytes(std::span(all)));
}

// What a kept caption begins with; the mask [tokens], u8, and the rows that it keeps follow.
struct KeptHead {
  int32_t tokens;
  int32_t channels;
};

std::string packed_caption(const Caption& caption) {
  const int64_t tokens = caption.embedding.dim(1), channels = caption.embedding.dim(2);
  const KeptHead head{static_cast<int32_t>(tokens), static_cast<int32_t>(channels)};
  const int32_t* const mask = caption.mask.view().i32();
  std::string text(reinterpret_cast<const char*>(&head), sizeof(head));
  for (int64_t i = 0; i < tokens; ++i) text += static_cast<char>(mask[i] != 0);
  for (int64_t i = 0; i < tokens; ++i) {
    if (mask[i] == 0) continue;
    text.append(reinterpret_cast<const char*>(caption.embedding.f32() + i * channels),
                static_cast<size_t>(channels) * sizeof(float));
  }
  return text;
}

// The content is as it was written: CacheFolder compares its digest.
Caption unpacked_caption(const std::string& text) {
  KeptHead head{};
  std::memcpy(&head, text.data(), sizeof(head));
  const int64_t tokens = head.tokens, channels = head.channels;
  Caption caption{.embedding = Tensor({1, tokens, channels}, DType::kF32),
                  .mask = Tensor({1, tokens}, DType::kI32)};
  std::memset(caption.embedding.f32(), 0, caption.embedding.bytes());
  const char* const mask = text.data() + sizeof(head);
  const char* row = mask + tokens;
  const size_t row_bytes = static_cast<size_t>(channels) * sizeof(float);
  for (int64_t i = 0; i < tokens; ++i) {
    caption.mask.view().i32()[i] = mask[i];
    if (mask[i] == 0) continue;
    std::memcpy(caption.embedding.f32() + i * channels, row, row_bytes);
    row += row_bytes;
  }
  return caption;
}

}  // namespace

PromptEncoder::PromptEncoder(ModelParts& parts, int64_t length, DType compute)
    : parts_(parts),
      length_(length),
      compute_(compute),
      tokenizer_(T5Tokenizer::load(parts.folder("tokenizer"))) {
  if (parts.cache() == nullptr) {
    load();
    return;
  }
  const std::filesystem::path encoder = parts.folder("text_encoder");
  T5Encoder::check(encoder);
  const std::filesystem::path tokenizer = parts.folder("tokenizer");
  std::ostringstream key;
  key << "encoded prompt 1\nencoder " << part_digest(encoder, parts.cache()) << "\nconfig "
      << files_digest(encoder, [](const auto& file) { return file.filename() == "config.json"; })
      << "\ntokenizer " << files_digest(tokenizer, [](const auto&) { return true; }) << "\nlength "
      << length << "\ndevice " << parts.backend().info().kind << "\ndtype " << dtype_name(compute)
      << "\nbuild " << build_id() << "\nprompt ";
  key_ = key.str();
}

Caption PromptEncoder::encode(const std::string& prompt, const std::function<bool()>& cancelled) {
  if (auto found = read_.extract(prompt)) return std::move(found.mapped());
  if (auto found = read(prompt)) return std::move(*found);
  if (!stage_) load();
  Caption caption = stage_->encode(prompt, cancelled);
  if (const EngineCache* const cache = parts_.cache()) {
    try {
      const std::string text = packed_caption(caption);
      cache->texts.write(key_of(prompt), std::as_bytes(std::span(text)));
    } catch (const Error&) {  // it is encoded again next time
    }
  }
  return caption;
}

bool PromptEncoder::kept(const std::vector<std::string>& prompts) {
  std::map<std::string, Caption> before = std::exchange(read_, {});
  for (const std::string& prompt : prompts) {
    if (auto known = before.extract(prompt)) {
      read_.insert(std::move(known));
    } else if (auto found = read(prompt)) {
      read_.emplace(prompt, std::move(*found));
    } else {
      return false;
    }
  }
  return true;
}

std::optional<Caption> PromptEncoder::read(const std::string& prompt) const {
  if (parts_.cache() == nullptr) return std::nullopt;
  const auto text = parts_.cache()->texts.read(key_of(prompt));
  if (!text) return std::nullopt;
  Caption caption = unpacked_caption(*text);
  caption.kept = true;
  return caption;
}

// The digest, so that no prompt can be read in the folder.
std::string PromptEncoder::key_of(const std::string& prompt) const {
  return key_ + sha256_hex(std::as_bytes(std::span(prompt)));
}

void PromptEncoder::load() {
  stage_.emplace(parts_, std::move(*tokenizer_), length_, compute_);
  tokenizer_.reset();
}

}  // namespace engine
