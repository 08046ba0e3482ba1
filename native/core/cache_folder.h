// A folder of files that can be made again, shared by the processes of a machine: whole files only,
// kept within a bound of bytes (the least recently used go first), and trusted only where nobody
// else could have written them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

namespace engine {

// Which file this is, and of when: while the text is the same, so is the content.
struct FileIdentity {
  std::string written;   // device, inode, size, and time of the last write
  std::string changed;   // and time of the last change of any kind, which no program can set
  bool settled = false;  // so long ago that a later change has another time
};
// Throws Error(kNotFound | kIo).
FileIdentity file_identity(const std::filesystem::path& file);

class CacheFolder {
 public:
  // Nothing is made before something is kept; bytes_max bounds all files together.
  CacheFolder(std::filesystem::path folder, uint64_t bytes_max)
      : folder_(std::move(folder)), bytes_max_(bytes_max) {}

  const std::filesystem::path& folder() const { return folder_; }
  uint64_t bytes_max() const { return bytes_max_; }
  // Where the file of a key lies: `ending` tells kinds apart.
  std::filesystem::path file_of(const std::string& key, const char* ending) const;

  // What was kept under `key`, and counts as used from now on. Nothing where there is no such file,
  // or one that is torn, damaged, of another key, or that another user could have written.
  std::optional<std::string> read(const std::string& key) const;
  // Replaces what is there, and evicts. Not synced: what a power cut tears is found by read().
  // Throws Error(kIo): a full disk, a folder that cannot be written.
  void write(const std::string& key, std::span<const std::byte> content) const;

  // Makes the folder, for its user alone. Throws Error(kIo).
  void make() const;
  // Whether the file is a regular one of this user, or of root, that nobody else may write.
  static bool trusted(const std::filesystem::path& file);
  // What is used now goes last. Says nothing where the file cannot be touched.
  static void mark_used(const std::filesystem::path& file);
  // Removes the files that were not used for longest until the rest fits, and parts of files that
  // nobody writes any more. Processes that have mapped one keep it.
  void evict() const;

 private:
  std::filesystem::path folder_;
  uint64_t bytes_max_;
};

}  // namespace engine
