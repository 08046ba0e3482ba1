#include "cache/cache_stats.h"

namespace engine {

void CacheTotals::add(const ModuleReport& report) {
  ++calls;
  tokens_computed += report.tokens_computed;
  tokens_reused += report.tokens_reused;
  seconds += report.seconds;
  flops += report.flops;
}

double CacheTotals::hit_rate() const {
  const int64_t passed = tokens_computed + tokens_reused;
  return passed == 0 ? 0.0 : static_cast<double>(tokens_reused) / static_cast<double>(passed);
}

void CacheStats::add(const ModuleReport& report) {
  total_.add(report);
  by_site_[{report.layer, report.block, report.module}].add(report);
}

}  // namespace engine
