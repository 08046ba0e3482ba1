// golden_runner: holds this build against golden cases. A native program of its own, since a GPU
// machine may have no Node; `tocafarm verify` runs it.
#include <cstdio>
#include <iostream>

#include "engine/error.h"
#include "golden/golden_arguments.h"
#include "golden/golden_kinds.h"
#include "golden/golden_report.h"

namespace engine {

namespace {

enum ExitStatus : int { kAllPassed = 0, kSomeFailed = 1, kNotRun = 2 };

GoldenResult run_case(const std::filesystem::path& folder, Backend& backend,
                      const GoldenOptions& options) {
  GoldenResult result;
  result.name = folder.filename().empty() ? folder.parent_path().filename().string()
                                          : folder.filename().string();
  try {
    const GoldenCase golden = GoldenCase::open(folder);
    result.kind = golden.kind();
    result.checks = run_golden_case(golden, backend, options);
  } catch (const Error& error) {
    result.error_code = error_code_name(error.code());
    result.error = error.what();
  } catch (const Json::exception& error) {
    result.error_code = error_code_name(ErrorCode::kInvalidCheckpoint);
    result.error = (folder / "case.json").string() + ": " + error.what();
  }
  return result;
}

int run(std::span<const char* const> arguments) {
  const GoldenArguments parsed = parse_golden_arguments(arguments);
  if (parsed.help) {
    std::cout << kGoldenUsage;
    return kAllPassed;
  }
  const auto backend = make_golden_backend(parsed);
  std::vector<GoldenResult> results;
  bool errors = false, failures = false;
  for (const std::filesystem::path& folder : parsed.cases) {
    results.push_back(run_case(folder, *backend, parsed.options));
    errors = errors || !results.back().error.empty();
    failures = failures || !results.back().passed();
  }
  if (parsed.json) {
    print_json(std::cout, results);
  } else {
    print_table(std::cout, results);
  }
  if (errors) return kNotRun;
  return failures ? kSomeFailed : kAllPassed;
}

}  // namespace

}  // namespace engine

int main(int argc, char** argv) {
  try {
    return engine::run({argv + 1, static_cast<size_t>(argc > 0 ? argc - 1 : 0)});
  } catch (const engine::Error& error) {
    std::fprintf(stderr, "golden_runner: %s: %s\n", engine::error_code_name(error.code()),
                 error.what());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "golden_runner: INTERNAL: %s\n", error.what());
  }
  return engine::kNotRun;
}
