// The one exception type of the engine. Bindings turn it into a JavaScript Error with the same
// code.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace engine {

enum class ErrorCode {
  kInvalidArgument,    // a request that can never succeed: never retried
  kNotFound,           // a file or tensor that should be there is not
  kInvalidCheckpoint,  // a weight file, config or tokenizer that is damaged or of the wrong shape
  kUnsupported,        // well formed, but not built or not possible on this device
  kOutOfMemory,
  kCancelled,
  kInterrupted,  // cut on request: the render goes on from its newest checkpoint, here or elsewhere
  kIo,
  kDeviceLost,  // the engine is unusable afterwards
  kInternal,
};

// "INVALID_ARGUMENT", "NOT_FOUND", "INVALID_CHECKPOINT", "UNSUPPORTED", "OUT_OF_MEMORY",
// "CANCELLED", "INTERRUPTED", "IO", "DEVICE_LOST", "INTERNAL".
const char* error_code_name(ErrorCode code);

// The message names the value, the bound and what to do, in one line.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace engine
