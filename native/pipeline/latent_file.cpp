#include "pipeline/latent_file.h"

#include <cmath>
#include <string>

#include "core/checkpoint.h"
#include "engine/error.h"

namespace engine {
namespace {

[[noreturn]] void refuse(const std::filesystem::path& file, const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument, "initial latent " + file.string() + ": " + what);
}

}  // namespace

Tensor read_latent(const std::filesystem::path& file, const Shape& expected) {
  const auto tensors = open_safetensors(file);
  ConstTensorView found = tensors->find("latent");
  if (found.empty()) found = tensors->find("z");
  if (found.empty()) refuse(file, "it has no tensor \"latent\" or \"z\"");
  if (!dtype_is_float(found.dtype()) || !(found.shape() == expected)) {
    refuse(file, std::string("the tensor is ") + dtype_name(found.dtype()) + " " +
                     found.shape().to_string() + "; this request needs floats of " +
                     expected.to_string());
  }
  Tensor latent = to_f32(found);
  for (int64_t i = 0; i < latent.elements(); ++i) {
    if (!std::isfinite(latent.f32()[i])) {
      refuse(file, "value " + std::to_string(i) + " is not finite");
    }
  }
  return latent;
}

void write_latent(const std::filesystem::path& file, ConstTensorView latent) {
  write_safetensors(file, {{.name = "latent", .tensor = latent}});
}

}  // namespace engine
