// The cache settings of a golden case of an image model, given under their published names, as a
// policy of ours.
#pragma once

#include "cache/cache_policy.h"
#include "golden/golden_case.h"

namespace engine {

struct GoldenImagePolicy {
  PolicySpec spec;
  PublishedSettings published = PublishedSettings::kPixartAlpha;
};

// `cache` of case.json; fresh_ratio 0 is FORA, and nothing is cached with fresh_threshold 1. Throws
// Error(kInvalidCheckpoint) or Error(kUnsupported) naming the setting.
GoldenImagePolicy golden_pixart_policy(const GoldenCase& golden);
GoldenImagePolicy golden_dit_policy(const GoldenCase& golden);

}  // namespace engine
