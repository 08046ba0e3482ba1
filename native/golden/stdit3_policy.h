// The cache settings of a golden case, given under their published names, as a policy of ours.
#pragma once

#include "engine/request.h"
#include "golden/golden_case.h"

namespace engine {

// `field` of case.json: null or absent = none, else toca with fidelity=upstream. Throws
// Error(kInvalidCheckpoint) or Error(kUnsupported) naming the setting.
PolicySpec golden_stdit3_policy(const GoldenCase& golden, const char* field);

}  // namespace engine
