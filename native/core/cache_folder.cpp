// POSIX calls, for owners, modes and times.
#include "core/cache_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <sstream>
#include <vector>

#include "core/file_mapping.h"
#include "core/part_file.h"
#include "core/sha256.h"
#include "engine/error.h"

namespace engine {
namespace {

// Who writes for longer than this is gone.
constexpr int64_t kPartSecondsMax = 6 * 3600;
// Clocks of file systems tick every few milliseconds, of some every two seconds.
constexpr int64_t kSettledSeconds = 2;
constexpr const char* kSealedMark = "tocafarm-cache 1 ";
constexpr size_t kDigestDigits = 64;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

// What is sealed: the key with its length, then the content.
std::string labelled(const std::string& key, std::span<const std::byte> content) {
  std::string text = std::to_string(key.size());
  text.append(" ").append(key).append("\n");
  text.append(reinterpret_cast<const char*>(content.data()), content.size());
  return text;
}

// The first line of a file: what follows it has this digest.
std::string seal_of(std::span<const std::byte> sealed) {
  return std::string(kSealedMark).append(sha256_hex(sealed)).append("\n");
}

struct Entry {
  std::filesystem::path file;
  uint64_t bytes;
  timespec used;
};

bool used_earlier(const Entry& a, const Entry& b) {
  if (a.used.tv_sec != b.used.tv_sec) return a.used.tv_sec < b.used.tv_sec;
  return a.used.tv_nsec < b.used.tv_nsec;
}

// The files of the folder; parts that nobody writes any more are removed.
std::vector<Entry> entries_of(const std::filesystem::path& folder) {
  std::vector<Entry> entries;
  std::error_code error;
  for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    struct stat status {};
    if (::lstat(at->path().c_str(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
    if (at->path().extension() == ".part") {
      const bool left = std::time(nullptr) - status.st_mtim.tv_sec > kPartSecondsMax;
      if (left) ::unlink(at->path().c_str());
    } else {
      entries.push_back({at->path(), static_cast<uint64_t>(status.st_size), status.st_atim});
    }
  }
  return entries;
}

}  // namespace

FileIdentity file_identity(const std::filesystem::path& file) {
  struct stat status {};
  if (::stat(file.c_str(), &status) != 0) {
    const int error = errno;
    throw Error(error == ENOENT || error == ENOTDIR ? ErrorCode::kNotFound : ErrorCode::kIo,
                "cannot examine " + file.string() + ": " + std::strerror(error));
  }
  std::ostringstream text;
  text << status.st_dev << ' ' << status.st_ino << ' ' << status.st_size << ' '
       << status.st_mtim.tv_sec << '.' << status.st_mtim.tv_nsec;
  FileIdentity identity{.written = text.str(), .changed = {}};
  text << ' ' << status.st_ctim.tv_sec << '.' << status.st_ctim.tv_nsec;
  identity.changed = text.str();
  identity.settled = std::time(nullptr) - status.st_ctim.tv_sec > kSettledSeconds;
  return identity;
}

std::filesystem::path CacheFolder::file_of(const std::string& key, const char* ending) const {
  return folder_ / (sha256_hex(bytes_of(key)) + ending);
}

std::optional<std::string> CacheFolder::read(const std::string& key) const {
  const std::filesystem::path file = file_of(key, "");
  if (!trusted(file)) return std::nullopt;
  try {
    const FileMapping mapping(file);
    const std::string_view all(reinterpret_cast<const char*>(mapping.bytes().data()),
                               mapping.bytes().size());
    const size_t head = std::strlen(kSealedMark) + kDigestDigits + 1;
    if (all.size() < head) return std::nullopt;
    const auto sealed = mapping.bytes().subspan(head);
    if (all.substr(0, head) != seal_of(sealed)) return std::nullopt;
    const std::string label = labelled(key, {});
    const std::string_view rest = all.substr(head);
    if (!rest.starts_with(label)) return std::nullopt;
    mark_used(file);
    return std::string(rest.substr(label.size()));
  } catch (const Error&) {  // evicted meanwhile, or not readable: it can be made again
    return std::nullopt;
  }
}

void CacheFolder::write(const std::string& key, std::span<const std::byte> content) const {
  make();
  const std::string sealed = labelled(key, content);
  PartFile part(file_of(key, ""));
  part.write(bytes_of(seal_of(bytes_of(sealed))));
  part.write(bytes_of(sealed));
  part.commit(Durability::kUntilPowerCut);
  evict();
}

void CacheFolder::make() const {
  std::error_code error;
  std::filesystem::create_directories(folder_.parent_path(), error);
  if (::mkdir(folder_.c_str(), 0700) == 0 || errno == EEXIST) return;
  throw Error(ErrorCode::kIo, "cannot make the folder " + folder_.string() + ": " +
                                  (error ? error.message() : std::strerror(errno)));
}

bool CacheFolder::trusted(const std::filesystem::path& file) {
  struct stat status {};
  if (::lstat(file.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return false;
  const bool own = status.st_uid == ::geteuid() || status.st_uid == 0;
  return own && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

void CacheFolder::mark_used(const std::filesystem::path& file) {
  const std::array<timespec, 2> times{timespec{0, UTIME_NOW}, timespec{0, UTIME_OMIT}};
  ::utimensat(AT_FDCWD, file.c_str(), times.data(), 0);
}

void CacheFolder::evict() const {
  std::vector<Entry> entries = entries_of(folder_);
  uint64_t total = 0;
  for (const Entry& entry : entries) total += entry.bytes;
  std::sort(entries.begin(), entries.end(), used_earlier);
  for (const Entry& entry : entries) {
    if (total <= bytes_max_) return;
    if (::unlink(entry.file.c_str()) == 0) total -= entry.bytes;
  }
}

}  // namespace engine
