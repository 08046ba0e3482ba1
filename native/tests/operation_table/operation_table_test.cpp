// One table of operation x shape x dtype x backend. Every backend is held to the plain loops; the
// CPU's also to the promises of "same bits": for any number of threads, and for a row alone or
// among others.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>

#include "backend/cpu/isa.h"
#include "tests/operation_table/workbench.h"

namespace engine::operation_table {

namespace {

const std::vector<OperationCase>& all_cases() {
  static const std::vector<OperationCase> cases = [] {
    std::vector<OperationCase> all;
    for (auto part : {product_cases, attention_cases, token_cases, selection_cases, sampler_cases,
                      frame_cases, change_cases, cluster_cases, kept_cases}) {
      for (OperationCase& operation : part()) all.push_back(std::move(operation));
    }
    return all;
  }();
  return cases;
}

Backend& backend_of(cpu::Isa isa, int threads) {
  static std::map<std::pair<cpu::Isa, int>, std::unique_ptr<Backend>> backends;
  std::unique_ptr<Backend>& backend = backends[{isa, threads}];
  if (!backend) backend = make_cpu_backend({.threads = threads, .isa = cpu::isa_name(isa)});
  return *backend;
}

std::vector<Tensor> run_on(Backend& backend, const Runner& run, Rows rows) {
  Workbench bench(backend);
  run(bench, rows);
  return bench.results();
}

struct Prepared {
  Runner run;
  std::vector<Tensor> plain;
};

// Inputs and the plain result of a case, made once for all instruction sets.
const Prepared& prepared(const OperationCase& operation) {
  static std::map<std::string, Prepared> cases;
  Prepared& entry = cases[operation.name];
  if (!entry.run) {
    entry.run = operation.prepare();
    entry.plain = run_on(*make_plain_backend(), entry.run, {0, operation.rows});
  }
  return entry;
}

// The largest difference as a share of the largest expected value; infinite where only one side is
// no number. Of integers none is allowed.
double difference(const Tensor& found, const Tensor& expected) {
  if (found.dtype() == DType::kI32) {
    return std::memcmp(found.view().data(), expected.view().data(), found.bytes()) == 0 ? 0.0
                                                                                        : INFINITY;
  }
  const Tensor left = to_f32(found), right = to_f32(expected);
  double largest = 0.0, worst = 0.0;
  for (int64_t i = 0; i < left.elements(); ++i) {
    const double x = static_cast<double>(left.f32()[i]), y = static_cast<double>(right.f32()[i]);
    if (std::isnan(x) != std::isnan(y)) return INFINITY;
    largest = std::max(largest, std::abs(y));
    worst = std::max(worst, std::abs(x - y));
  }
  return worst == 0.0 ? 0.0 : worst / largest;
}

void expect_same_bits(const std::vector<Tensor>& found, const std::vector<Tensor>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    ASSERT_EQ(found[i].bytes(), expected[i].bytes());
    EXPECT_TRUE(found[i].bytes() == 0 ||
                std::memcmp(found[i].view().data(), expected[i].view().data(), found[i].bytes()) ==
                    0)
        << "result " << i << " differs";
  }
}

class OperationTable : public testing::TestWithParam<std::tuple<size_t, cpu::Isa>> {
 protected:
  const OperationCase& operation() const { return all_cases()[std::get<0>(GetParam())]; }
  cpu::Isa isa() const { return std::get<1>(GetParam()); }
};

TEST_P(OperationTable, AgreesWithThePlainLoops) {
  const Prepared& entry = prepared(operation());
  const auto found = run_on(backend_of(isa(), 2), entry.run, {0, operation().rows});
  if (operation().tolerance == 0.0) return expect_same_bits(found, entry.plain);
  ASSERT_EQ(found.size(), entry.plain.size());
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_LE(difference(found[i], entry.plain[i]), operation().tolerance) << "result " << i;
  }
}

TEST_P(OperationTable, GivesTheSameBitsForAnyNumberOfThreads) {
  const Runner& run = prepared(operation()).run;
  const Rows all{0, operation().rows};
  const auto alone = run_on(backend_of(isa(), 1), run, all);
  for (const int threads : {2, 3}) {
    expect_same_bits(run_on(backend_of(isa(), threads), run, all), alone);
  }
}

TEST_P(OperationTable, GivesARowTheSameBitsAloneAsAmongOthers) {
  const int64_t rows = operation().rows;
  if (rows < 2) return;
  const Runner& run = prepared(operation()).run;
  const auto together = run_on(backend_of(isa(), 2), run, {0, rows});
  for (const int64_t row : {int64_t{0}, rows / 2, rows - 1}) {
    const auto alone = run_on(backend_of(isa(), 2), run, {row, 1});
    for (size_t i = 0; i < alone.size(); ++i) {
      const size_t bytes = alone[i].bytes();
      ASSERT_EQ(bytes * static_cast<size_t>(rows), together[i].bytes());
      const auto* all = static_cast<const std::byte*>(together[i].view().data());
      EXPECT_TRUE(bytes == 0 || std::memcmp(all + bytes * static_cast<size_t>(row),
                                            alone[i].view().data(), bytes) == 0)
          << "row " << row << " of result " << i << " differs";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cpu, OperationTable,
                         testing::Combine(testing::Range(size_t{0}, all_cases().size()),
                                          testing::ValuesIn(cpu::available_isas())),
                         [](const auto& info) {
                           return all_cases()[std::get<0>(info.param)].name + "_" +
                                  cpu::isa_name(std::get<1>(info.param));
                         });

}  // namespace

}  // namespace engine::operation_table
