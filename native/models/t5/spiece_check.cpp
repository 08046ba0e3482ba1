#include "models/t5/spiece_check.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include "engine/error.h"

namespace engine {
namespace {

// Field numbers of sentencepiece_model.proto.
constexpr uint32_t kModelPieces = 1;
constexpr uint32_t kModelNormalizer = 3;
constexpr uint32_t kModelDenormalizer = 5;
constexpr uint32_t kPieceText = 1;
constexpr uint32_t kPieceScore = 2;
constexpr uint32_t kNormalizerCharsmap = 2;

class Damage {
 public:
  explicit Damage(const std::string& file) : file_(file) {}
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorCode::kInvalidCheckpoint,
                file_ + ": not a SentencePiece model: " + what + "; download the file again");
  }

 private:
  const std::string& file_;
};

// One field of a protobuf message; `bytes` for length-delimited and fixed-size values.
struct Field {
  uint32_t number = 0;
  uint32_t wire_type = 0;
  std::string_view bytes;
};

class MessageReader {
 public:
  MessageReader(std::string_view bytes, const Damage& damage) : rest_(bytes), damage_(damage) {}

  std::optional<Field> next() {
    if (rest_.empty()) return std::nullopt;
    const uint64_t tag = varint();
    Field field{static_cast<uint32_t>(tag >> 3), static_cast<uint32_t>(tag & 7), {}};
    switch (field.wire_type) {
      case 0:
        varint();
        break;
      case 1:
        field.bytes = take(8);
        break;
      case 2:
        field.bytes = take(varint());
        break;
      case 5:
        field.bytes = take(4);
        break;
      default:
        damage_.fail("unknown wire type " + std::to_string(field.wire_type));
    }
    return field;
  }

 private:
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<uint8_t>(take(1)[0]);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    damage_.fail("a number of more than 64 bits");
  }
  std::string_view take(uint64_t count) {
    if (count > rest_.size()) damage_.fail("it ends inside a field (truncated?)");
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

  std::string_view rest_;
  const Damage& damage_;
};

// The double-array trie of Darts-clone, as SentencePiece stores it: 32-bit units; from a unit at
// `position` the children start at position ^ offset, the one for byte c at that ^ c.
class TrieCheck {
 public:
  TrieCheck(std::string_view units, size_t strings_bytes, const Damage& damage)
      : units_(units.size() / sizeof(uint32_t)),
        strings_bytes_(strings_bytes),
        visited_(units_.size()),
        damage_(damage) {
    std::memcpy(units_.data(), units.data(), units_.size() * sizeof(uint32_t));
  }

  void run() {
    if (units_.empty()) damage_.fail("an empty normalisation trie");
    pending_.push_back(0);
    while (!pending_.empty()) {
      const size_t position = pending_.back();
      pending_.pop_back();
      visit(position);
    }
  }

 private:
  static size_t offset(uint32_t unit) {
    return static_cast<size_t>(unit >> 10) << ((unit & (1u << 9)) >> 6);
  }
  static uint32_t label(uint32_t unit) { return unit & ((1u << 31) | 0xff); }
  static bool has_leaf(uint32_t unit) { return ((unit >> 8) & 1) != 0; }
  static uint32_t leaf_value(uint32_t unit) { return unit & 0x7fffffff; }

  void visit(size_t position) {
    if (visited_[position]) return;
    visited_[position] = true;
    const uint32_t unit = units_[position];
    const size_t children = position ^ offset(unit);
    // A search looks at the place of any byte before it compares labels.
    if ((children | 0xff) >= units_.size()) {
      damage_.fail("the normalisation trie points outside of itself");
    }
    if (position != 0 && has_leaf(unit) && leaf_value(units_[children]) >= strings_bytes_) {
      damage_.fail("the normalisation trie points outside of its strings");
    }
    for (uint32_t byte = 0; byte < 256; ++byte) {
      if (label(units_[children ^ byte]) == byte) pending_.push_back(children ^ byte);
    }
  }

  std::vector<uint32_t> units_;
  size_t strings_bytes_;
  std::vector<bool> visited_;
  std::vector<size_t> pending_;
  const Damage& damage_;
};

// Layout: bytes of the trie (u32, little endian), the trie, strings each closed by a zero byte.
void check_charsmap(std::string_view charsmap, const Damage& damage) {
  if (charsmap.empty()) return;  // no normalisation
  uint32_t trie_bytes = 0;
  if (charsmap.size() < sizeof(trie_bytes)) damage.fail("a normalisation table without a header");
  std::memcpy(&trie_bytes, charsmap.data(), sizeof(trie_bytes));
  charsmap.remove_prefix(sizeof(trie_bytes));
  if (trie_bytes % sizeof(uint32_t) != 0 || trie_bytes >= charsmap.size()) {
    damage.fail("a normalisation table whose trie does not fit");
  }
  const std::string_view strings = charsmap.substr(trie_bytes);
  if (strings.back() != '\0') damage.fail("a normalisation table whose last string is open");
  TrieCheck(charsmap.substr(0, trie_bytes), strings.size(), damage).run();
}

void check_normalizer(std::string_view bytes, const Damage& damage) {
  MessageReader reader(bytes, damage);
  while (const std::optional<Field> field = reader.next()) {
    if (field->number == kNormalizerCharsmap && field->wire_type == 2) {
      check_charsmap(field->bytes, damage);
    }
  }
}

void check_piece(std::string_view bytes, const Damage& damage) {
  bool has_text = false;
  MessageReader reader(bytes, damage);
  while (const std::optional<Field> field = reader.next()) {
    if (field->number == kPieceText && field->wire_type == 2) has_text = !field->bytes.empty();
    if (field->number == kPieceScore && field->wire_type == 5) {
      float score = 0;
      std::memcpy(&score, field->bytes.data(), sizeof(score));
      if (!std::isfinite(score)) damage.fail("a piece whose score is not a finite number");
    }
  }
  if (!has_text) damage.fail("a piece without text");
}

}  // namespace

void check_spiece_model(std::string_view bytes, const std::string& file) {
  const Damage damage(file);
  size_t pieces = 0;
  MessageReader reader(bytes, damage);
  while (const std::optional<Field> field = reader.next()) {
    if (field->wire_type != 2) continue;
    if (field->number == kModelPieces) {
      check_piece(field->bytes, damage);
      ++pieces;
    }
    if (field->number == kModelNormalizer || field->number == kModelDenormalizer) {
      check_normalizer(field->bytes, damage);
    }
  }
  if (pieces == 0) damage.fail("it has no pieces");
}

}  // namespace engine
