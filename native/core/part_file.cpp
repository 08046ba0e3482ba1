// POSIX calls, because the standard streams know no fsync.
#include "core/part_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "engine/error.h"

namespace engine {
namespace {

// Linux writes at most 2 GiB a call; a round number below it.
constexpr size_t kMaxWriteBytes = size_t{1} << 30;

[[noreturn]] void fail(const char* doing, const std::filesystem::path& file, int error) {
  const bool missing = error == ENOENT || error == ENOTDIR;
  throw Error(missing ? ErrorCode::kNotFound : ErrorCode::kIo,
              std::string("cannot ") + doing + " " + file.string() + ": " + std::strerror(error));
}

// Without this, a power cut may undo the rename.
void sync_folder(const std::filesystem::path& file) {
  const std::filesystem::path folder = file.has_parent_path() ? file.parent_path() : ".";
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) fail("open the folder", folder, errno);
  const int error = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  // Some network file systems know no fsync of a folder and say EINVAL.
  if (error != 0 && error != EINVAL) fail("sync the folder", folder, error);
}

}  // namespace

PartFile::PartFile(const std::filesystem::path& file) : file_(file), part_(file) {
  part_ += ".part";
  descriptor_ = ::open(part_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail("create", part_, errno);
}

PartFile::~PartFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(part_.c_str());
}

void PartFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written =
        ::write(descriptor_, bytes.data(), std::min(bytes.size(), kMaxWriteBytes));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("write", part_, errno);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
}

void PartFile::commit(Durability durability) {
  const bool synced = durability == Durability::kAlways;
  if (synced && ::fsync(descriptor_) != 0) fail("sync", part_, errno);
  if (::rename(part_.c_str(), file_.c_str()) != 0) fail("rename to", file_, errno);
  ::close(descriptor_);
  descriptor_ = -1;
  if (synced) sync_folder(file_);
}

}  // namespace engine
