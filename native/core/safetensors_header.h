// The header of a .safetensors file: an 8-byte little-endian length, JSON of that length, then the
// tensors' bytes without holes. Format: huggingface/safetensors, README.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "core/checkpoint.h"

namespace engine {

struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  size_t begin = 0;  // from the first byte of the file
  size_t bytes = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  // by rising offset
  TensorMetadata metadata;
};

// Throws Error(kInvalidCheckpoint) naming `file` and the tensor when
// anything about the header is not as the format says: the entries must cover the file's data
// exactly, each as long as its shape and dtype ask. Error(kUnsupported) for an element type that
// the engine does not know.
SafetensorsHeader read_safetensors_header(std::span<const std::byte> content,
                                          const std::string& file);

// "F32", "BF16", ...
const char* safetensors_dtype_name(DType dtype);

}  // namespace engine
