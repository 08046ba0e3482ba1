// Sums of module reports: what was computed and what came from the cache, by layer, block and
// module and in all.
#pragma once

#include <map>
#include <tuple>

#include "engine/report.h"

namespace engine {

struct CacheTotals {
  int64_t calls = 0;
  int64_t tokens_computed = 0;
  int64_t tokens_reused = 0;
  double seconds = 0;
  double flops = 0;

  void add(const ModuleReport& report);
  // Tokens taken from the cache / tokens that passed; 0 when none passed.
  double hit_rate() const;
};

class CacheStats {
 public:
  using Site = std::tuple<int, BlockKind, Module>;  // layer, block, module

  void add(const ModuleReport& report);
  const CacheTotals& total() const { return total_; }
  // In order of execution.
  const std::map<Site, CacheTotals>& by_site() const { return by_site_; }

 private:
  CacheTotals total_;
  std::map<Site, CacheTotals> by_site_;
};

}  // namespace engine
