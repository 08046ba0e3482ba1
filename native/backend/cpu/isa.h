// Which instruction set the SIMD kernels of the CPU backend run on, chosen once at run time.
#pragma once

#include <string>
#include <vector>

namespace engine::cpu {

// kBaseline: x86-64 as every such machine has it (SSE2). kAvx2: AVX2 and FMA. kAvx512: AVX-512
// F, BW, DQ and VL.
enum class Isa { kBaseline, kAvx2, kAvx512 };

const char* isa_name(Isa isa);  // "baseline", "avx2", "avx512"

// What this CPU (and its operating system) has, best last.
std::vector<Isa> available_isas();

// "" gives the best one. Error(kInvalidArgument) for an unknown name, Error(kUnsupported) for one
// that this CPU lacks.
Isa choose_isa(const std::string& name);

// Whether the CPU multiplies bf16 (AVX512-BF16 or AMX-BF16): then bf16 gemms run on it.
bool cpu_has_bf16();
// Whether it does so in tiles, many times faster (AMX-BF16).
bool cpu_has_bf16_tiles();

}  // namespace engine::cpu
