// Latents in files, for replaying and comparing renders: safetensors, one tensor.
#pragma once

#include <filesystem>

#include "core/tensor.h"

namespace engine {

// Reads tensor "latent" or, failing that, "z". Throws Error(kInvalidArgument) when it has neither,
// when the shape is not `expected` or a value is not finite.
Tensor read_latent(const std::filesystem::path& file, const Shape& expected);
// Writes tensor "latent"; part file, fsync, rename.
void write_latent(const std::filesystem::path& file, ConstTensorView latent);

}  // namespace engine
