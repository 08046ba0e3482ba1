// PyTorch's pickled weight files: refused by a clear error until their reader is there.
#include "core/checkpoint.h"
#include "engine/error.h"

namespace engine {

std::unique_ptr<TensorFile> open_pickle(const std::filesystem::path& file) {
  throw Error(ErrorCode::kUnsupported,
              file.string() + ": pickles are not read yet; convert to .safetensors");
}

}  // namespace engine
