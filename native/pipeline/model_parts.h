// The parts of a model folder (transformer, vae, text_encoder), loaded through the cache of packed
// weights where there is one: converted once for each kind of device, mapped ever after.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/packed_part.h"

namespace engine {

class ModelParts {
 public:
  // `cache` may be null. Backend and cache outlive this object.
  ModelParts(Backend& backend, std::filesystem::path model, const EngineCache* cache)
      : backend_(backend), model_(std::move(model)), cache_(cache) {}

  Backend& backend() const { return backend_; }
  const EngineCache* cache() const { return cache_; }
  std::filesystem::path folder(const std::string& part) const { return model_ / part; }

  // What `load`(folder) gives, with the backend packing into the cache or taking from it. Never
  // fails for the cache's sake: then the weights are packed into memory, and problems() says why.
  template <typename Load>
  auto load(const std::string& part, DType compute, const Load& load) {
    PackedPart packed(backend_, cache_, folder(part), compute);
    for (;;) {
      try {
        const PackingScope scope(backend_, packed.begin());
        auto loaded = load(folder(part));
        packed.end();
        note(part, packed);
        return loaded;
      } catch (const OtherLayout&) {
        packed.discard();
      }
    }
  }

  // Names of the parts whose packed weights were there, and their bytes.
  const std::vector<std::string>& mapped() const { return mapped_; }
  uint64_t bytes_mapped() const { return bytes_mapped_; }
  // One line each.
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  // The backend packs into `store` as long as this lives.
  class PackingScope {
   public:
    PackingScope(Backend& backend, PackedStore* store) : backend_(backend) {
      backend.keep_packed_in(store);
    }
    ~PackingScope() { backend_.keep_packed_in(nullptr); }
    PackingScope(const PackingScope&) = delete;
    PackingScope& operator=(const PackingScope&) = delete;

   private:
    Backend& backend_;
  };

  void note(const std::string& part, const PackedPart& packed);

  Backend& backend_;
  std::filesystem::path model_;
  const EngineCache* cache_;
  std::vector<std::string> mapped_;
  uint64_t bytes_mapped_ = 0;
  std::vector<std::string> problems_;
};

}  // namespace engine
