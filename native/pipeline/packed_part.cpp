#include "pipeline/packed_part.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <sstream>
#include <thread>

#include "core/build_id.h"
#include "engine/error.h"

namespace engine {
namespace {

// A file that does not fit what is packed is made anew once; a second time it would be our mistake.
constexpr int kTriesMax = 2;
// So long another process may take to pack 20 GB on a slow disk; then we pack into memory.
constexpr std::chrono::seconds kLockWaitMax(600);
constexpr std::chrono::milliseconds kLockPoll(20);
// Left on the disk for others.
constexpr uint64_t kFreeBytesMin = uint64_t{1} << 30;
// Packed weights are at most twice their source: fp32 of 16 bits.
constexpr uint64_t kGrowthMax = 2;

std::string file_text(const std::filesystem::path& file) {
  const FileMapping mapping(file);
  return {reinterpret_cast<const char*>(mapping.bytes().data()), mapping.bytes().size()};
}

// All that decides what is packed. The digest is of the tensors' content, and the config says what
// is done with them.
std::string key_of(const Backend& backend, const std::string& digest,
                   const std::filesystem::path& folder, DType compute) {
  const std::string config = file_text(folder / "config.json");
  std::ostringstream text;
  text << "packed weights 1\nsource " << digest << "\nconfig "
       << sha256_hex(std::as_bytes(std::span(config))) << "\ndevice " << backend.info().kind
       << "\ndtype " << dtype_name(compute) << "\nbuild " << build_id();
  return text.str();
}

// What was checked once is checked again only when the file has changed since.
std::string checked_key(const std::filesystem::path& file) {
  return "content of " + file.filename().string() + " " + file_identity(file).written;
}

uint64_t bytes_in(const std::filesystem::path& folder) {
  uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.is_regular_file()) bytes += entry.file_size();
  }
  return bytes;
}

}  // namespace

PackedPart::PackedPart(const Backend& backend, const EngineCache* cache,
                       const std::filesystem::path& folder, DType compute)
    : cache_(cache) {
  if (cache == nullptr) return;
  key_ = key_of(backend, part_digest(folder, cache), folder, compute);
  file_ = cache->weights.file_of(key_, ".weights");
  source_bytes_ = bytes_in(folder);
}

PackedPart::~PackedPart() {
  if (lock_ >= 0) ::close(lock_);  // which unlocks it
}

PackedStore* PackedPart::begin() {
  if (cache_ == nullptr || ++tries_ > kTriesMax) return nullptr;
  try {
    open_reader();
    if (!reader_) {
      lock();
      open_reader();  // another process may have written it while we waited
    }
    if (!reader_) open_writer();
  } catch (const Error& error) {
    problem_ = error.what();
  }
  if (reader_) return reader_.get();
  return writer_.get();
}

void PackedPart::end() {
  if (reader_) reader_->check_finished();
  if (!writer_) return;
  if (writer_->commit()) {
    try {
      cache_->digests.write(checked_key(file_), {});
    } catch (const Error&) {  // it is checked once more
    }
    cache_->weights.evict();
  } else {
    problem_ = writer_->failure();
  }
}

void PackedPart::discard() {
  reader_.reset();
  writer_.reset();
  std::error_code error;
  std::filesystem::remove(file_, error);
}

// None when there is no file, or it is of no use and removed.
void PackedPart::open_reader() {
  if (!CacheFolder::trusted(file_)) return;
  try {
    auto reader = std::make_unique<WeightFileReader>(file_, key_);
    const std::string checked = checked_key(file_);
    if (!cache_->digests.read(checked)) {
      reader->check_content();
      cache_->digests.write(checked, {});
    }
    CacheFolder::mark_used(file_);
    reader_ = std::move(reader);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInvalidCheckpoint) discard();
  }
}

void PackedPart::open_writer() {
  const CacheFolder& folder = cache_->weights;
  const uint64_t bytes = kGrowthMax * source_bytes_;
  if (bytes > folder.bytes_max()) {
    throw Error(ErrorCode::kIo, "up to " + std::to_string(bytes >> 20) +
                                    " MiB are more than the cache's bound of " +
                                    std::to_string(folder.bytes_max() >> 20) + " MiB");
  }
  const uint64_t available = std::filesystem::space(folder.folder()).available;
  if (available < bytes + kFreeBytesMin) {
    throw Error(ErrorCode::kIo, "only " + std::to_string(available >> 20) +
                                    " MiB are free on the disk of " + folder.folder().string());
  }
  writer_ = std::make_unique<WeightFileWriter>(file_, key_);
}

// One process packs at a time, whatever it packs. The lock ends with the process.
void PackedPart::lock() {
  cache_->weights.make();
  const std::filesystem::path file = cache_->weights.folder() / "lock";
  lock_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_ < 0) {
    throw Error(ErrorCode::kIo, "cannot open " + file.string() + ": " + std::strerror(errno));
  }
  const auto until = std::chrono::steady_clock::now() + kLockWaitMax;
  while (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    if (std::chrono::steady_clock::now() > until) {
      throw Error(ErrorCode::kIo, file.string() + " is held by another process for too long");
    }
    std::this_thread::sleep_for(kLockPoll);
  }
}

}  // namespace engine
