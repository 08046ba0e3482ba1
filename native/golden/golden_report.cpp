#include "golden/golden_report.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace engine {

namespace {

constexpr size_t kColumns = 6;
using Row = std::array<std::string, kColumns>;

std::string number(double value, const std::string& unit) {
  char text[32];
  const char* const format = unit == "count" ? "%.0f" : unit == "dB" ? "%.1f dB" : "%.2e";
  std::snprintf(text, sizeof(text), format, value);
  return text;
}

// Selections that differ beyond ties, and those excused.
std::string selections(const GoldenCheck& check) {
  if (check.what != "selections") return "";
  std::string text = number(check.error, "count");
  if (check.selections_excused > 0) {
    text += " (" + std::to_string(check.selections_excused) + " tied)";
  }
  return text;
}

Row row_of(const std::string& name, const GoldenCheck& check) {
  return {name,
          check.what,
          number(check.error, check.unit),
          number(check.bound, check.unit),
          selections(check),
          check.passed ? "pass" : "FAIL"};
}

// JSON has no infinity: the largest number stands for it.
double finite(double value) {
  return std::isfinite(value) ? value : 1e308;
}

}  // namespace

bool GoldenResult::passed() const {
  return error.empty() && !checks.empty() &&
         std::all_of(checks.begin(), checks.end(), [](const GoldenCheck& c) { return c.passed; });
}

void print_table(std::ostream& out, const std::vector<GoldenResult>& results) {
  std::vector<std::pair<Row, std::string>> rows{
      {{"case", "what", "largest error", "bound", "selections", "result"}, "note"}};
  for (const GoldenResult& result : results) {
    for (const GoldenCheck& check : result.checks) {
      rows.emplace_back(row_of(result.name, check), check.note);
    }
    if (!result.error.empty()) {
      rows.emplace_back(Row{result.name, "", "", "", "", "ERROR"},
                        result.error_code + ": " + result.error);
    }
  }
  std::array<size_t, kColumns> widths{};
  for (const auto& [row, note] : rows) {
    for (size_t i = 0; i < kColumns; ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& [row, note] : rows) {
    std::string line;
    for (size_t i = 0; i < kColumns; ++i) {
      line += row[i] + std::string(widths[i] - row[i].size() + 2, ' ');
    }
    line += note;
    line.erase(line.find_last_not_of(' ') + 1);
    out << line << "\n";
  }
}

void print_json(std::ostream& out, const std::vector<GoldenResult>& results) {
  Json lines = Json::array();
  for (const GoldenResult& result : results) {
    for (const GoldenCheck& check : result.checks) {
      lines.push_back({{"case", result.name},
                       {"kind", result.kind},
                       {"what", check.what},
                       {"error", finite(check.error)},
                       {"bound", finite(check.bound)},
                       {"unit", check.unit},
                       {"selectionsExcused", check.selections_excused},
                       {"passed", check.passed},
                       {"note", check.note}});
    }
    if (!result.error.empty()) {
      lines.push_back({{"case", result.name},
                       {"kind", result.kind},
                       {"what", ""},
                       {"passed", false},
                       {"code", result.error_code},
                       {"note", result.error}});
    }
  }
  out << lines.dump(1, ' ', false, Json::error_handler_t::replace) << "\n";
}

}  // namespace engine
