#include "pipeline/model_parts.h"

namespace engine {

void ModelParts::note(const std::string& part, const PackedPart& packed) {
  if (packed.bytes_mapped() > 0) mapped_.push_back(part);
  bytes_mapped_ += packed.bytes_mapped();
  if (packed.problem().empty()) return;
  problems_.push_back("packed weights of " + part + " are not kept: " + packed.problem());
}

}  // namespace engine
