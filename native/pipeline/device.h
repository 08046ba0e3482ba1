// Devices by name, and what makes two of them give the same bits.
#pragma once

#include <memory>
#include <string>

#include "backend/backend.h"

namespace engine {

// "cpu", or "cuda:N". Throws Error(kInvalidArgument) for another name, Error(kUnsupported) for a
// device that this build has no backend for.
std::unique_ptr<Backend> open_device(const std::string& name, int threads);

// "cpu avx512_bf16 fp32 tocafarm-0.1.0": same kind = same bits.
std::string device_kind(const BackendInfo& device, DType dtype);

}  // namespace engine
