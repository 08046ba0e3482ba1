// The identity of a model folder's weights.
#include <filesystem>
#include <string>

#include "core/checkpoint.h"
#include "core/sha256.h"
#include "engine/engine.h"
#include "pipeline/model_family.h"
#include "pipeline/model_plan.h"

namespace engine {

std::string model_digest(const std::filesystem::path& model) {
  std::string parts;
  const bool reads_text = model_family(read_model_configs(model))->text_tokens() > 0;
  for (const std::string part : {"transformer", "vae", "text_encoder"}) {
    if (part == "text_encoder" && !reads_text) continue;
    parts += part + " " + Checkpoint::open(model / part).digest() + "\n";
  }
  return sha256_hex(std::as_bytes(std::span(parts)));
}

}  // namespace engine
