// What every operation of the CPU backend needs to know about where it runs.
#pragma once

#include "backend/cpu/isa.h"
#include "backend/packed_store.h"

namespace engine::cpu {

struct CpuContext {
  int threads = 1;           // OpenMP threads of a parallel region; results do not depend on it
  Isa isa = Isa::kBaseline;  // which of the kernel tables is called
  bool bf16_native = false;  // whether isa is kAvx512 and the CPU multiplies bf16
  bool bf16_tiles = false;   // whether it does so in tiles (AMX)
  PackedStore* packed = nullptr;  // where weights are packed; null: in memory of their own
};

}  // namespace engine::cpu
