// The legacy layout: the storages follow each other without a table, so each one's element type, as
// the pickle gives it, is needed to find the next.
#include <limits>
#include <string_view>
#include <unordered_map>

#include "core/byte_cursor.h"
#include "core/pickle_vm.h"
#include "core/quote.h"
#include "core/torch_containers.h"
#include "core/torch_tensors.h"

namespace engine {
namespace {

// 0x1950a86a20f9469cfc6c as a pickled integer of 10 bytes, behind any protocol byte.
constexpr std::string_view kMagic("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 12);
constexpr int64_t kProtocolVersion = 1001;

using Storages = std::unordered_map<std::string_view, std::span<const std::byte>>;

// The pickles of the file, one after the other.
class Stream {
 public:
  Stream(std::span<const std::byte> content, const std::string& file)
      : content_(content), file_(file) {}

  PickleDocument next() {
    PickleDocument document = read_pickle(content_.subspan(at_), file_);
    at_ += document.bytes_read;
    return document;
  }
  size_t at() const { return at_; }

 private:
  std::span<const std::byte> content_;
  const std::string& file_;
  size_t at_ = 0;
};

[[noreturn]] void fail(const std::string& file, const std::string& what) {
  throw Error(ErrorCode::kInvalidCheckpoint, file + ": " + what);
}

// Bytes an element of each storage that the pickle speaks of.
std::unordered_map<std::string_view, uint64_t> element_bytes_by_key(const PickleDocument& document,
                                                                    const std::string& file) {
  std::unordered_map<std::string_view, uint64_t> result;
  for (const PickleValue& value : document.values) {
    const auto* reference = std::get_if<PickleReference>(&value);
    if (reference == nullptr) continue;
    const auto storage = read_torch_storage(document, *reference);
    if (!storage) continue;
    const auto [known, added] = result.emplace(storage->key, storage->element_bytes);
    if (!added && known->second != storage->element_bytes) {
      fail(file, "storage " + quote(storage->key) + " is said to be of two element types");
    }
  }
  return result;
}

Storages read_storages(std::span<const std::byte> content, size_t at, const PickleDocument& keys,
                       const PickleDocument& document, const std::string& file) {
  const auto element_bytes = element_bytes_by_key(document, file);
  const auto* list = keys.get<PickleSequence>(keys.root);
  if (list == nullptr) fail(file, "has no list of storages behind its pickle");
  const std::string context = file + ": the list of storages";
  ByteCursor cursor(content, context, at);
  Storages storages;
  for (const PickleId id : list->items) {
    const auto* key = keys.get<std::string_view>(id);
    if (key == nullptr || !element_bytes.contains(*key)) {
      fail(file, "lists a storage of unknown element type");
    }
    const auto elements = cursor.read<uint64_t>();
    uint64_t bytes = 0;
    if (__builtin_mul_overflow(elements, element_bytes.at(*key), &bytes)) {
      fail(file,
           "storage " + quote(*key) + " is said to have " + std::to_string(elements) + " elements");
    }
    storages[*key] = std::as_bytes(std::span(cursor.text(bytes)));
  }
  return storages;
}

}  // namespace

bool is_torch_legacy(std::span<const std::byte> content) {
  const std::string_view text(reinterpret_cast<const char*>(content.data()), content.size());
  return text.starts_with("\x80") && text.substr(0, 32).find(kMagic) != std::string_view::npos;
}

void read_torch_legacy(TensorTable& table, std::span<const std::byte> content,
                       const std::string& file) {
  Stream stream(content, file);
  stream.next();  // the magic number
  const PickleDocument version = stream.next();
  const auto* number = version.get<int64_t>(version.root);
  if (number == nullptr || *number != kProtocolVersion) {
    fail(file, "is of another version than 1001 of torch.save's legacy format");
  }
  stream.next();  // facts about the machine that wrote it
  const PickleDocument document = stream.next();
  const PickleDocument keys = stream.next();
  const Storages storages = read_storages(content, stream.at(), keys, document, file);
  const FindStorage find_storage =
      [&](std::string_view key) -> std::optional<std::span<const std::byte>> {
    const auto found = storages.find(key);
    if (found == storages.end()) return {};
    return found->second;
  };
  add_torch_tensors(table, document, find_storage, torch_copy_bytes_max(content.size()), file);
}

}  // namespace engine
