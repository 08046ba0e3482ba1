// The framework around golden cases: what it reads, refuses and prints. The cases themselves are
// run here too.
#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <sstream>

#include "engine/error.h"
#include "golden/golden_arguments.h"
#include "golden/golden_kinds.h"
#include "golden/golden_report.h"

namespace engine {
namespace {

namespace fs = std::filesystem;

const fs::path kData = TOCAFARM_TEST_DATA;  // NOLINT: read-only

// A case folder of one test's own, removed with it.
class CaseFolder {
 public:
  explicit CaseFolder(const std::string& json) {
    folder_ = fs::temp_directory_path() /
              ("tocafarm-golden-" +
               std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::create_directories(folder_);
    std::ofstream(folder_ / "case.json") << json;
  }
  ~CaseFolder() { fs::remove_all(folder_); }
  const fs::path& path() const { return folder_; }

 private:
  fs::path folder_;
};

// The fast backend where there is one, else the plain one.
std::unique_ptr<Backend> make_backend() {
  GoldenArguments arguments;
#ifndef TOCAFARM_HAS_CPU
  arguments.device = "plain";
#endif
  return make_golden_backend(arguments);
}

std::string error_of(const fs::path& folder) {
  const auto backend = make_backend();
  try {
    run_golden_case(GoldenCase::open(folder), *backend, {});
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

class GoldenCases : public testing::TestWithParam<const char*> {};

TEST_P(GoldenCases, AgreesWithTheReference) {
  const auto backend = make_backend();
  const GoldenChecks checks = run_golden_case(GoldenCase::open(kData / GetParam()), *backend, {});
  EXPECT_FALSE(checks.empty());
  for (const GoldenCheck& check : checks) {
    EXPECT_TRUE(check.passed) << check.what << " " << check.error << " > " << check.bound;
  }
}

INSTANTIATE_TEST_SUITE_P(STDiT3, GoldenCases,
                         testing::Values("stdit3-forward-image", "stdit3-forward-pad",
                                         "stdit3-forward-text", "stdit3-forward-xmask",
                                         "stdit3-rflow-full", "stdit3-rflow-toca",
                                         "stdit3-rflow-toca-alt", "stdit3-rflow-toca-norm-linear",
                                         "stdit3-rflow-toca-xmask",
                                         "stdit3-rflow-toca-xmask-round"));

INSTANTIATE_TEST_SUITE_P(Dit, GoldenCases,
                         testing::Values("dit-ddim50-full", "dit-ddim50-fora", "dit-ddim50-toca",
                                         "dit-ddpm-toca"));

INSTANTIATE_TEST_SUITE_P(Pixart, GoldenCases,
                         testing::Values("pixart-dpm-full", "pixart-dpm-fora", "pixart-dpm-toca"));

TEST(Golden, NamesAnUnknownKindAndTheKnownOnes) {
  const CaseFolder folder(R"({"kind": "flux"})");
  const std::string message = error_of(folder.path());
  EXPECT_NE(message.find("\"flux\""), std::string::npos);
  EXPECT_NE(message.find("stdit3-rflow"), std::string::npos);
}

TEST(Golden, NamesWhatACaseLacks) {
  EXPECT_NE(error_of(kData / "no-such-case").find("case.json"), std::string::npos);
  const CaseFolder no_kind("{}");
  EXPECT_NE(error_of(no_kind.path()).find("\"kind\""), std::string::npos);
}

TEST(Golden, NamesATensorThatIsMissing) {
  const CaseFolder folder(R"({"kind": "stdit3-forward", "model": ")" +
                          (kData / "models/stdit3-tiny").string() + "\"}");
  EXPECT_NE(error_of(folder.path()).find("tensor \"x\" is missing"), std::string::npos);
}

TEST(Golden, RefusesArgumentsThatItDoesNotKnow) {
  const auto parse = [](std::initializer_list<const char*> list) {
    const std::vector<const char*> arguments(list);
    return parse_golden_arguments(arguments);
  };
  EXPECT_THROW(parse({}), Error);
  EXPECT_THROW(parse({"--device", "cuda:0", "case"}), Error);
  EXPECT_THROW(parse({"--dtype", "fp8", "case"}), Error);
  EXPECT_THROW(parse({"--threads", "-1", "case"}), Error);
  EXPECT_THROW(parse({"case", "--model"}), Error);
  EXPECT_THROW(parse({"--jsn", "case"}), Error);
  const GoldenArguments good = parse({"--dtype", "bf16", "--threads", "2", "--json", "a", "b"});
  EXPECT_EQ(good.options.dtype, DType::kBF16);
  EXPECT_EQ(good.threads, 2);
  EXPECT_EQ(good.cases.size(), 2u);
}

TEST(Golden, PrintsFailuresAndErrors) {
  GoldenCheck bad;
  bad.what = "latents";
  bad.error = 0.5;
  bad.bound = 0.1;
  std::vector<GoldenResult> results(2);
  results[0] = {.name = "one", .kind = "k", .checks = {bad}, .error_code = "", .error = ""};
  results[1] = {.name = "two", .kind = "k", .checks = {}, .error_code = "IO", .error = "gone"};
  EXPECT_FALSE(results[0].passed());
  EXPECT_FALSE(results[1].passed());
  std::ostringstream table, json;
  print_table(table, results);
  EXPECT_NE(table.str().find("5.00e-01"), std::string::npos);
  EXPECT_NE(table.str().find("FAIL"), std::string::npos);
  EXPECT_NE(table.str().find("IO: gone"), std::string::npos);
  print_json(json, results);
  const Json lines = Json::parse(json.str());
  EXPECT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[1].at("code"), "IO");
}

}  // namespace
}  // namespace engine
