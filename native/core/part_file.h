// A file that appears under its name whole or not at all: written beside it as `<name>.part`,
// synced, renamed, and the folder synced. Dropped without commit(), it leaves nothing behind.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace engine {

// What a committed file outlives.
enum class Durability {
  kAlways,         // file and folder are synced first
  kUntilPowerCut,  // after one it may be torn: for files that tell and can be made again
};

class PartFile {
 public:
  // All members throw Error(kIo) naming the file and the system's reason; kNotFound when the folder
  // does not exist.
  explicit PartFile(const std::filesystem::path& file);
  ~PartFile();
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void commit(Durability durability = Durability::kAlways);
  // For reading and mapping what was written so far; the file's own, which it closes.
  int descriptor() const { return descriptor_; }

 private:
  std::filesystem::path file_;
  std::filesystem::path part_;
  int descriptor_ = -1;
};

}  // namespace engine
