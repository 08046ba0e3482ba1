// Which runner a case's kind calls for. Runners of parts that are not built are left out.
#pragma once

#include <string>
#include <vector>

#include "golden/golden_case.h"

namespace engine {

// Throws Error(kUnsupported) naming the kind and the known ones.
GoldenChecks run_golden_case(const GoldenCase& golden, Backend& backend,
                             const GoldenOptions& options);

std::vector<std::string> golden_kind_names();

}  // namespace engine
