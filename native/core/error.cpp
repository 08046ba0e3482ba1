// The spelling of error codes, the same in C++, in JavaScript and in logs.
#include "engine/error.h"

namespace engine {

const char* error_code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "INVALID_ARGUMENT";
    case ErrorCode::kNotFound:
      return "NOT_FOUND";
    case ErrorCode::kInvalidCheckpoint:
      return "INVALID_CHECKPOINT";
    case ErrorCode::kUnsupported:
      return "UNSUPPORTED";
    case ErrorCode::kOutOfMemory:
      return "OUT_OF_MEMORY";
    case ErrorCode::kCancelled:
      return "CANCELLED";
    case ErrorCode::kInterrupted:
      return "INTERRUPTED";
    case ErrorCode::kIo:
      return "IO";
    case ErrorCode::kDeviceLost:
      return "DEVICE_LOST";
    case ErrorCode::kInternal:
      break;
  }
  return "INTERNAL";
}

}  // namespace engine
