// Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), and normal
// draws from it. The value at a place depends on (seed, stream, index) alone, so step k's noise is
// the same whoever draws it, in any order.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace engine {

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// What a stream of numbers is for. Step k's noise is stream kStepNoise + k.
inline constexpr uint64_t kInitialLatentStream = 0;
inline constexpr uint64_t kVaePosteriorStream = 1;
inline constexpr uint64_t kScoreStream = uint64_t{1} << 32;
inline constexpr uint64_t kStepNoiseStream = uint64_t{2} << 32;

// Standard normal values `first` .. `first + out.size()` of the stream (Box-Muller on pairs of
// uniforms in (0, 1)).
void fill_normal(std::span<float> out, uint64_t seed, uint64_t stream, uint64_t first = 0);
// Uniform values in [0, 1), 24 bits each.
void fill_uniform(std::span<float> out, uint64_t seed, uint64_t stream, uint64_t first = 0);

}  // namespace engine
