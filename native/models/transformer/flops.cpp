#include "models/transformer/flops.h"

namespace engine {

double nominal_flops(const BlockSizes& sizes, const TokenGrid& grid, const ModuleWork& work) {
  if (work.tokens == 0) return 0;
  const auto tokens = static_cast<double>(work.tokens);
  const auto hidden = static_cast<double>(sizes.hidden);
  const auto text = static_cast<double>(work.text_tokens);
  double products = 0;  // multiply-adds of one row
  switch (work.module) {
    case Module::kSelfAttention: {
      const auto keys = static_cast<double>(
          work.block == BlockKind::kTemporal ? grid.frames : grid.tokens_per_frame());
      products = tokens * (4 * hidden * hidden + 2 * keys * hidden);
      break;
    }
    case Module::kCrossAttention:
      products = tokens * (2 * hidden * hidden + 2 * text * hidden) + text * 2 * hidden * hidden;
      break;
    case Module::kMlp:
      products = tokens * 2 * hidden * static_cast<double>(sizes.mlp_hidden);
      break;
  }
  return 2 * products * static_cast<double>(work.rows);
}

}  // namespace engine
