// The table and the JSON that golden_runner prints.
#pragma once

#include <ostream>

#include "golden/golden_case.h"

namespace engine {

struct GoldenResult {
  std::string name;
  std::string kind;
  GoldenChecks checks;
  // Why the case could not be run; empty when it was.
  std::string error_code;
  std::string error;

  bool passed() const;
};

// One line for each check: case, what, largest error, bound, selections beyond ties, pass or FAIL.
void print_table(std::ostream& out, const std::vector<GoldenResult>& results);
// An array with an object for each check.
void print_json(std::ostream& out, const std::vector<GoldenResult>& results);

}  // namespace engine
