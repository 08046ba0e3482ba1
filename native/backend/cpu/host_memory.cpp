#include "backend/cpu/host_memory.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

namespace engine::cpu {

namespace {

namespace fs = std::filesystem;

// The number at the start of a file; none when it is absent or says "max".
std::optional<uint64_t> read_number(const fs::path& file) {
  std::ifstream stream(file);
  uint64_t number = 0;
  if (stream >> number) return number;
  return std::nullopt;
}

// The number after `key` at the start of a line: "MemAvailable:   123 kB", "inactive_file 123".
uint64_t read_field(const fs::path& file, const std::string& key, uint64_t fallback) {
  std::ifstream stream(file);
  for (std::string line; std::getline(stream, line);) {
    std::istringstream words(line);
    std::string name;
    uint64_t number = 0;
    if (words >> name >> number && name == key) return number;
  }
  return fallback;
}

void lower(HostMemory& memory, uint64_t limit, uint64_t used, uint64_t file_pages) {
  const uint64_t kept = used - std::min(used, file_pages);
  memory.total_bytes = std::min(memory.total_bytes, limit);
  memory.available_bytes = std::min(memory.available_bytes, limit - std::min(limit, kept));
}

void apply_group(HostMemory& memory, const fs::path& group, bool unified) {
  const auto limit = read_number(group / (unified ? "memory.max" : "memory.limit_in_bytes"));
  const auto used = read_number(group / (unified ? "memory.current" : "memory.usage_in_bytes"));
  if (!limit || !used) return;
  const fs::path stat = group / "memory.stat";
  const std::string prefix = unified ? "" : "total_";
  lower(
      memory, *limit, *used,
      read_field(stat, prefix + "inactive_file", 0) + read_field(stat, prefix + "active_file", 0));
}

// `name` is the group's path as /proc/self/cgroup has it. In a container it may be seen from
// outside, so the mount's own root is asked as well.
void apply_groups(HostMemory& memory, const fs::path& mount, const std::string& name,
                  bool unified) {
  fs::path group = fs::path(name).relative_path();
  for (;; group = group.parent_path()) {
    apply_group(memory, mount / group, unified);
    if (group.empty()) return;
  }
}

}  // namespace

HostMemory host_memory(const fs::path& root) {
  constexpr uint64_t kUnknown = UINT64_MAX / 1024;
  const fs::path info = root / "proc/meminfo";
  HostMemory memory;
  memory.total_bytes = read_field(info, "MemTotal:", kUnknown) * 1024;
  memory.available_bytes = read_field(info, "MemAvailable:", kUnknown) * 1024;
  // Lines are hierarchy:controllers:path; the unified hierarchy of v2 is "0::path".
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string name = line.substr(second + 1);
    if (controllers.empty()) apply_groups(memory, root / "sys/fs/cgroup", name, true);
    if (controllers == "memory") {
      apply_groups(memory, root / "sys/fs/cgroup/memory", name, false);
    }
  }
  return memory;
}

}  // namespace engine::cpu
