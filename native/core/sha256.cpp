// Buffering, padding and hex around the blocks.
#include "core/sha256.h"

#include <algorithm>

namespace engine {

void Sha256::update(std::span<const std::byte> bytes) {
  const size_t waiting = total_bytes_ % kSha256BlockBytes;
  total_bytes_ += bytes.size();
  if (waiting > 0) {
    const size_t taken = std::min(bytes.size(), kSha256BlockBytes - waiting);
    std::copy_n(bytes.begin(), taken, block_.begin() + static_cast<ptrdiff_t>(waiting));
    bytes = bytes.subspan(taken);
    if (waiting + taken < kSha256BlockBytes) return;
    sha256_blocks(state_, block_.data(), 1);
  }
  const size_t blocks = bytes.size() / kSha256BlockBytes;
  if (blocks > 0) sha256_blocks(state_, bytes.data(), blocks);
  const auto rest = bytes.subspan(blocks * kSha256BlockBytes);
  std::copy(rest.begin(), rest.end(), block_.begin());
}

std::array<std::byte, 32> Sha256::finish() {
  const uint64_t total_bits = total_bytes_ * 8;
  std::array<std::byte, 2 * kSha256BlockBytes> padding{std::byte{0x80}};
  const size_t waiting = total_bytes_ % kSha256BlockBytes;
  const size_t zeros_end = (waiting < 56 ? 56 : 120) - waiting;
  for (size_t i = 0; i < 8; ++i) padding[zeros_end + i] = std::byte(total_bits >> (56 - 8 * i));
  update(std::span(padding).first(zeros_end + 8));
  std::array<std::byte, 32> digest{};
  for (size_t i = 0; i < 32; ++i) digest[i] = std::byte(state_[i / 4] >> (24 - 8 * (i % 4)));
  return digest;
}

std::string Sha256::finish_hex() {
  constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (const std::byte byte : finish()) {
    text += kHex[std::to_integer<size_t>(byte) >> 4];
    text += kHex[std::to_integer<size_t>(byte) & 15];
  }
  return text;
}

std::string sha256_hex(std::span<const std::byte> bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.finish_hex();
}

}  // namespace engine
