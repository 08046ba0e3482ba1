// The command line of golden_runner.
#pragma once

#include <span>

#include "golden/golden_case.h"

namespace engine {

struct GoldenArguments {
  GoldenOptions options;
  std::string device = "cpu";  // "cpu" or "plain"
  int threads = 0;             // 0: all cores
  bool json = false;
  bool help = false;
  std::vector<std::filesystem::path> cases;
};

extern const char* const kGoldenUsage;

// Throws Error(kInvalidArgument) naming the argument and what is allowed.
GoldenArguments parse_golden_arguments(std::span<const char* const> arguments);

// Throws Error(kUnsupported) for a device that is not built.
std::unique_ptr<Backend> make_golden_backend(const GoldenArguments& arguments);

}  // namespace engine
