// A file of packed weights: written once as a model is loaded, and mapped by every later load and
// every other engine of the machine, which so share one copy in the page cache.
//
// Blobs in the order in which the model packs, each at a multiple of 64 bytes; a table in JSON (the
// key, and of each blob its layout, place and SHA-256); 64 bytes at the end: a mark, the table's
// place and size, its SHA-256. A file without a sound end was not written whole.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "backend/packed_store.h"
#include "core/file_mapping.h"
#include "core/part_file.h"
#include "core/sha256.h"

namespace engine {

// Something else is packed than the file holds: it was written for another kind of device.
class OtherLayout : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct PackedBlob {
  std::string layout;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  std::string sha256;
};

// Packs into a new file. Tensors are mapped from it as soon as they are written, so that memory
// holds one beside those that the kernel keeps cached. Where the file cannot be written (a full
// disk) the rest is packed into memory, and failure() says why.
class WeightFileWriter : public PackedStore {
 public:
  // Throws Error(kIo | kNotFound).
  WeightFileWriter(const std::filesystem::path& file, std::string key);

  Tensor keep(const std::string& layout, const Shape& shape, DType dtype,
              const Pack& pack) override;
  bool holds_all() const override { return false; }
  // Gives the file its name; whether it is whole.
  bool commit();
  const std::string& failure() const { return failure_; }

 private:
  void append(std::span<const std::byte> bytes);
  std::optional<Tensor> mapped(uint64_t offset, const Shape& shape, DType dtype) const;
  void give_up(const std::string& why);

  std::optional<PartFile> part_;
  std::string key_;
  std::vector<PackedBlob> blobs_;
  uint64_t bytes_ = 0;
  std::string failure_;
};

// Gives out what a file holds, which stays mapped as long as a tensor of it lives.
class WeightFileReader : public PackedStore {
 public:
  // Checks the end, the table and every place in it. Throws Error(kNotFound | kIo), or
  // Error(kInvalidCheckpoint) for a file that is damaged or of another key.
  WeightFileReader(const std::filesystem::path& file, const std::string& key);

  // Reads all of it: throws Error(kInvalidCheckpoint) for a blob that is not what was written.
  void check_content() const;
  // Throws OtherLayout.
  Tensor keep(const std::string& layout, const Shape& shape, DType dtype,
              const Pack& pack) override;
  bool holds_all() const override { return true; }
  // Throws OtherLayout when the model packed less than the file holds.
  void check_finished() const;
  uint64_t bytes() const { return mapping_->bytes().size(); }

 private:
  std::shared_ptr<const FileMapping> mapping_;
  std::vector<PackedBlob> blobs_;
  size_t next_ = 0;
};

}  // namespace engine
