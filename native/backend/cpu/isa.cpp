#include "backend/cpu/isa.h"

#include <algorithm>

#include "engine/error.h"

namespace engine::cpu {

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::kBaseline:
      return "baseline";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
  }
  return "unknown";
}

// The compiler's checks include that the operating system saves the wide registers.
std::vector<Isa> available_isas() {
  std::vector<Isa> isas{Isa::kBaseline};
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return isas;
  isas.push_back(Isa::kAvx2);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    isas.push_back(Isa::kAvx512);
  }
  return isas;
}

Isa choose_isa(const std::string& name) {
  const std::vector<Isa> isas = available_isas();
  if (name.empty()) return isas.back();
  for (const Isa isa : {Isa::kBaseline, Isa::kAvx2, Isa::kAvx512}) {
    if (name != isa_name(isa)) continue;
    if (std::find(isas.begin(), isas.end(), isa) != isas.end()) return isa;
    throw Error(ErrorCode::kUnsupported, "this CPU lacks the instruction set \"" + name +
                                             "\"; the best it has is \"" + isa_name(isas.back()) +
                                             "\"");
  }
  throw Error(ErrorCode::kInvalidArgument,
              "unknown instruction set \"" + name + "\"; known are baseline, avx2 and avx512");
}

bool cpu_has_bf16() {
  return __builtin_cpu_supports("avx512bf16") != 0;
}

bool cpu_has_bf16_tiles() {
  return __builtin_cpu_supports("amx-bf16") != 0;
}

}  // namespace engine::cpu
