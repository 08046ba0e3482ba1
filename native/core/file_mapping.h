// A file mapped for reading: weights come from the page cache, without a copy, and only the pages
// that are read.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace engine {

// The file must not be cut while it is mapped: the kernel would answer a read with SIGBUS.
class FileMapping {
 public:
  // Throws Error(kNotFound) when there is no such file, Error(kIo) when it cannot be opened, is no
  // regular file, or cannot be mapped. An empty file gives no bytes.
  explicit FileMapping(const std::filesystem::path& file);
  ~FileMapping();
  FileMapping(const FileMapping&) = delete;
  FileMapping& operator=(const FileMapping&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }
  // Takes the pages of `part`, which is some of bytes(), out of this process; a later read finds
  // them in the page cache again, or in the file.
  void give_back(std::span<const std::byte> part) const;
  const std::filesystem::path& file() const { return file_; }

 private:
  std::filesystem::path file_;
  std::span<const std::byte> bytes_;
};

}  // namespace engine
