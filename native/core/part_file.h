// A file that appears under its name whole or not at all: written beside it as `<name>.part`,
// synced, renamed, and the folder synced. Dropped without commit(), it leaves nothing behind.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace engine {

class PartFile {
 public:
  // All members throw Error(kIo) naming the file and the system's reason; kNotFound when the folder
  // does not exist.
  explicit PartFile(const std::filesystem::path& file);
  ~PartFile();
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void commit();

 private:
  std::filesystem::path file_;
  std::filesystem::path part_;
  int descriptor_ = -1;
};

}  // namespace engine
