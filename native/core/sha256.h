// SHA-256 (FIPS 180-4): names weights and plans by their content.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "core/sha256_blocks.h"

namespace engine {

class Sha256 {
 public:
  void update(std::span<const std::byte> bytes);
  // The digest of all that was given; the object is spent afterwards.
  std::array<std::byte, 32> finish();
  // As finish(), in 64 lower-case hex digits.
  std::string finish_hex();

 private:
  Sha256State state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                     0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::byte, kSha256BlockBytes> block_{};  // bytes that wait for a whole block
  uint64_t total_bytes_ = 0;
};

std::string sha256_hex(std::span<const std::byte> bytes);

}  // namespace engine
