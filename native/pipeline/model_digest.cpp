// The identity of a model folder's weights.
#include <filesystem>
#include <string>

#include "core/sha256.h"
#include "engine/engine.h"
#include "pipeline/engine_cache.h"
#include "pipeline/model_family.h"
#include "pipeline/model_plan.h"

namespace engine {

std::string model_digest(const std::filesystem::path& model,
                         const std::filesystem::path& cache_folder) {
  const EngineCache cache(cache_folder, 0);
  const EngineCache* const known = cache_folder.empty() ? nullptr : &cache;
  std::string parts;
  const bool reads_text = model_family(read_model_configs(model))->text_tokens() > 0;
  for (const std::string part : {"transformer", "vae", "text_encoder"}) {
    if (part == "text_encoder" && !reads_text) continue;
    parts += part + " " + part_digest(model / part, known) + "\n";
  }
  return sha256_hex(std::as_bytes(std::span(parts)));
}

}  // namespace engine
