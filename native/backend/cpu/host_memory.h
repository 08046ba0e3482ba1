// How much memory this process may still take.
#pragma once

#include <cstdint>
#include <filesystem>

namespace engine::cpu {

struct HostMemory {
  uint64_t total_bytes = 0;
  uint64_t available_bytes = 0;  // without pushing anything out but file pages
};

// The kernel's figures, lowered to what the process's control group and those above it allow
// (cgroup v2 and v1): a container's limit is what ends a process, not the machine's memory. `root`
// is where proc/ and sys/ are; tests give a folder of their own. UINT64_MAX where nothing is known.
HostMemory host_memory(const std::filesystem::path& root = "/");

}  // namespace engine::cpu
