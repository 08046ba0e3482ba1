// One part of a model folder on its way through the cache of packed weights: which file it is, who
// may write it, and what is to be done when it is of no use.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "backend/backend.h"
#include "pipeline/engine_cache.h"
#include "pipeline/weight_file.h"

namespace engine {

class PackedPart {
 public:
  // `cache` null: nothing is kept. `folder`: of the part's config.json and weights.
  PackedPart(const Backend& backend, const EngineCache* cache, const std::filesystem::path& folder,
             DType compute);
  ~PackedPart();

  // What the backend shall pack into for the next try: the file, a new one, or null for memory.
  // Waits while another process writes that file.
  PackedStore* begin();
  // The model is packed. Throws OtherLayout when it took less than the file held.
  void end();
  // The file held something else than the model packs.
  void discard();

  // Of a file that was there.
  uint64_t bytes_mapped() const { return reader_ ? reader_->bytes() : 0; }
  // Why nothing could be kept; empty when it was, and without a cache.
  const std::string& problem() const { return problem_; }

 private:
  void open_reader();
  void open_writer();
  void lock();

  const EngineCache* cache_;
  std::string key_;
  std::filesystem::path file_;
  uint64_t source_bytes_ = 0;
  std::unique_ptr<WeightFileReader> reader_;
  std::unique_ptr<WeightFileWriter> writer_;
  int lock_ = -1;
  int tries_ = 0;
  std::string problem_;
};

}  // namespace engine
