// The inner loop of SHA-256: whole blocks of 64 bytes into the state.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace engine {

inline constexpr size_t kSha256BlockBytes = 64;
using Sha256State = std::array<uint32_t, 8>;

// By the CPU's SHA instructions where it has them, else in plain C++.
void sha256_blocks(Sha256State& state, const std::byte* data, size_t blocks);
// The same in plain C++.
void sha256_blocks_plain(Sha256State& state, const std::byte* data, size_t blocks);

}  // namespace engine
