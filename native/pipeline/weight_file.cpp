// Sequential writes, and mappings of what they wrote.
#include "pipeline/weight_file.h"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <utility>

#include "core/json.h"
#include "engine/error.h"

namespace engine {
namespace {

constexpr std::string_view kMark = "tocafarm-packed1";
// A mapping costs the kernel more than a small blob does in memory.
constexpr uint64_t kMappedBytesMin = 64 * 1024;

struct Trailer {
  std::array<char, 16> mark;
  uint64_t table_offset;
  uint64_t table_bytes;
  std::array<std::byte, 32> table_sha256;
};
static_assert(sizeof(Trailer) == 64);

std::array<std::byte, 32> sha256(std::span<const std::byte> bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.finish();
}

std::span<const std::byte> view_bytes(ConstTensorView view) {
  return {static_cast<const std::byte*>(view.data()), view.bytes()};
}

uint64_t aligned(uint64_t offset) {
  return (offset + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment;
}

std::string layout_of(const std::string& layout, const Shape& shape, DType dtype) {
  return layout + " " + shape.to_string() + " " + dtype_name(dtype);
}

std::string table_of(const std::string& key, const std::vector<PackedBlob>& blobs) {
  Json list = Json::array();
  for (const PackedBlob& blob : blobs) {
    list.push_back({{"layout", blob.layout},
                    {"offset", blob.offset},
                    {"bytes", blob.bytes},
                    {"sha256", blob.sha256}});
  }
  return Json{{"key", key}, {"blobs", std::move(list)}}.dump();
}

[[noreturn]] void damaged(const std::filesystem::path& file, const std::string& what) {
  throw Error(ErrorCode::kInvalidCheckpoint, "packed weights " + file.string() + ": " + what);
}

std::span<const std::byte> table_in(const FileMapping& mapping) {
  const auto all = mapping.bytes();
  Trailer end{};
  if (all.size() < sizeof(end)) damaged(mapping.file(), "the end is missing");
  const uint64_t body = all.size() - sizeof(end);
  std::memcpy(&end, all.data() + body, sizeof(end));
  if (std::string_view(end.mark.data(), end.mark.size()) != kMark || end.table_bytes > body ||
      end.table_offset != body - end.table_bytes) {
    damaged(mapping.file(), "the end is damaged");
  }
  const auto table = all.subspan(end.table_offset, end.table_bytes);
  if (sha256(table) != end.table_sha256) damaged(mapping.file(), "the table is damaged");
  return table;
}

// The table is as it was written, so its fields are there; the places are checked all the same.
std::vector<PackedBlob> blobs_in(const FileMapping& mapping, const std::string& key) {
  const auto table = table_in(mapping);
  const Json json = parse_json({reinterpret_cast<const char*>(table.data()), table.size()},
                               mapping.file().string());
  if (json.at("key") != key) damaged(mapping.file(), "it is of other weights");
  const auto end = static_cast<uint64_t>(table.data() - mapping.bytes().data());
  std::vector<PackedBlob> blobs;
  for (const Json& entry : json.at("blobs")) {
    blobs.push_back({.layout = entry.at("layout"),
                     .offset = entry.at("offset"),
                     .bytes = entry.at("bytes"),
                     .sha256 = entry.at("sha256")});
    const PackedBlob& blob = blobs.back();
    if (blob.offset % kBufferAlignment != 0 || blob.offset > end ||
        blob.bytes > end - blob.offset) {
      damaged(mapping.file(), "a blob lies outside");
    }
  }
  return blobs;
}

// Uninitialised memory in pages of its own. They go back to the system with the tensor, where the
// heap would keep a hole of each tensor's size once something small lies in it.
Tensor in_own_pages(const Shape& shape, DType dtype) {
  const uint64_t bytes = tensor_bytes(shape, dtype);
  void* const address =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) return {shape, dtype};
  return {address, shape, dtype, [bytes](void* pages) { ::munmap(pages, bytes); }};
}

}  // namespace

WeightFileWriter::WeightFileWriter(const std::filesystem::path& file, std::string key)
    : part_(std::in_place, file), key_(std::move(key)) {}

Tensor WeightFileWriter::keep(const std::string& layout, const Shape& shape, DType dtype,
                              const Pack& pack) {
  const bool large = tensor_bytes(shape, dtype) >= kMappedBytesMin;
  Tensor packed = large ? in_own_pages(shape, dtype) : Tensor(shape, dtype);
  pack(packed);
  if (!part_) return packed;
  try {
    static constexpr std::array<std::byte, kBufferAlignment> kPadding{};
    append(std::span(kPadding).first(aligned(bytes_) - bytes_));
    const uint64_t offset = bytes_;
    append(view_bytes(packed));
    blobs_.push_back({.layout = layout_of(layout, shape, dtype),
                      .offset = offset,
                      .bytes = packed.bytes(),
                      .sha256 = sha256_hex(view_bytes(packed))});
    if (auto shared = mapped(offset, shape, dtype)) return std::move(*shared);
  } catch (const Error& error) {
    give_up(error.what());
  }
  return packed;
}

bool WeightFileWriter::commit() {
  if (!part_) return false;
  try {
    const std::string table = table_of(key_, blobs_);
    const auto table_bytes = std::as_bytes(std::span(table));
    Trailer end{.mark = {},
                .table_offset = bytes_,
                .table_bytes = table.size(),
                .table_sha256 = sha256(table_bytes)};
    std::copy(kMark.begin(), kMark.end(), end.mark.begin());
    append(table_bytes);
    append(std::as_bytes(std::span(&end, 1)));
    part_->commit();
  } catch (const Error& error) {
    give_up(error.what());
    return false;
  }
  part_.reset();
  return true;
}

void WeightFileWriter::append(std::span<const std::byte> bytes) {
  part_->write(bytes);
  bytes_ += bytes.size();
}

// Nothing for small blobs, and where the kernel gives no further mapping.
std::optional<Tensor> WeightFileWriter::mapped(uint64_t offset, const Shape& shape,
                                               DType dtype) const {
  const uint64_t bytes = tensor_bytes(shape, dtype);
  if (bytes < kMappedBytesMin) return std::nullopt;
  const uint64_t ahead = offset % static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  void* const address = ::mmap(nullptr, ahead + bytes, PROT_READ, MAP_SHARED, part_->descriptor(),
                               static_cast<off_t>(offset - ahead));
  if (address == MAP_FAILED) return std::nullopt;
  return Tensor(static_cast<std::byte*>(address) + ahead, shape, dtype,
                [address, ahead, bytes](void*) { ::munmap(address, ahead + bytes); });
}

void WeightFileWriter::give_up(const std::string& why) {
  failure_ = why;
  part_.reset();
}

WeightFileReader::WeightFileReader(const std::filesystem::path& file, const std::string& key)
    : mapping_(std::make_shared<FileMapping>(file)), blobs_(blobs_in(*mapping_, key)) {}

void WeightFileReader::check_content() const {
  for (const PackedBlob& blob : blobs_) {
    const auto bytes = mapping_->bytes().subspan(blob.offset, blob.bytes);
    if (sha256_hex(bytes) != blob.sha256) damaged(mapping_->file(), "the content is damaged");
    mapping_->give_back(bytes);
  }
}

Tensor WeightFileReader::keep(const std::string& layout, const Shape& shape, DType dtype,
                              const Pack&) {
  const std::string wanted = layout_of(layout, shape, dtype);
  if (next_ == blobs_.size()) throw OtherLayout("the model packs more than the file holds");
  const PackedBlob& blob = blobs_[next_++];
  const uint64_t bytes = tensor_bytes(shape, dtype);
  if (blob.layout != wanted || blob.bytes != bytes) {
    throw OtherLayout("the model packs " + wanted + ", the file holds " + blob.layout);
  }
  // Nobody writes into packed weights; the pages are read-only besides.
  auto* const data = const_cast<std::byte*>(mapping_->bytes().data() + blob.offset);
  return {data, shape, dtype, [mapping = mapping_](void*) {}};
}

void WeightFileReader::check_finished() const {
  if (next_ < blobs_.size()) throw OtherLayout("the model packs less than the file holds");
}

}  // namespace engine
