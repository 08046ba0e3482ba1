// mmap with errors that name the file.
#include "core/file_mapping.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>

#include "engine/error.h"

namespace engine {
namespace {

[[noreturn]] void fail(const std::filesystem::path& file, const char* doing, int error) {
  const bool missing = error == ENOENT || error == ENOTDIR;
  throw Error(missing ? ErrorCode::kNotFound : ErrorCode::kIo,
              std::string("cannot ") + doing + " " + file.string() + ": " + std::strerror(error));
}

// Closes on every way out; the mapping lives on without the descriptor.
struct Descriptor {
  int number;
  ~Descriptor() { ::close(number); }
};

}  // namespace

FileMapping::FileMapping(const std::filesystem::path& file) : file_(file) {
  // O_NONBLOCK: opening a pipe must end in an error, not wait for a writer.
  const int number = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (number < 0) fail(file, "open", errno);
  const Descriptor descriptor{number};
  struct stat status {};
  if (::fstat(number, &status) != 0) fail(file, "examine", errno);
  if (!S_ISREG(status.st_mode)) {
    throw Error(ErrorCode::kIo, file.string() + " is not a regular file");
  }
  const auto size = static_cast<size_t>(status.st_size);
  if (size == 0) return;
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, number, 0);
  if (address == MAP_FAILED) fail(file, "map", errno);
  bytes_ = {static_cast<const std::byte*>(address), size};
}

void FileMapping::give_back(std::span<const std::byte> part) const {
  if (part.empty()) return;
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(part.data()) / page * page;
  const auto end = reinterpret_cast<uintptr_t>(part.data() + part.size());
  ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

FileMapping::~FileMapping() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace engine
