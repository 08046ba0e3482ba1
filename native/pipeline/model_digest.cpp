// The identity of a model folder's weights.
#include <filesystem>
#include <string>

#include "core/checkpoint.h"
#include "core/sha256.h"
#include "engine/engine.h"

namespace engine {

std::string model_digest(const std::filesystem::path& model) {
  std::string parts;
  for (const char* part : {"transformer", "vae", "text_encoder"}) {
    parts += std::string(part) + " " + Checkpoint::open(model / part).digest() + "\n";
  }
  return sha256_hex(std::as_bytes(std::span(parts)));
}

}  // namespace engine
