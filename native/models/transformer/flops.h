// The one nominal count of floating-point operations (caching-policies.md), of every model:
// estimate, reports and metrics all use it.
#pragma once

#include "engine/plan.h"
#include "models/transformer/sizes.h"

namespace engine {

struct ModuleWork {
  BlockKind block = BlockKind::kSpatial;
  Module module = Module::kSelfAttention;
  int64_t tokens = 0;       // computed per batch row
  int64_t rows = 2;         // batch rows: both guidance halves
  int64_t text_tokens = 0;  // L per row
};

// 2 · multiply-adds of the module's matrix products for the tokens computed. Text keys and values
// count at every cross-attention call that computes a token, whether or not they are hoisted.
double nominal_flops(const BlockSizes& sizes, const TokenGrid& grid, const ModuleWork& work);

}  // namespace engine
