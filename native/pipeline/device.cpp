#include "pipeline/device.h"

#include "engine/engine.h"
#include "engine/error.h"

namespace engine {
namespace {

constexpr int kMaxThreads = 1024;

bool is_cuda_name(const std::string& name) {
  if (!name.starts_with("cuda:") || name.size() == 5 || name.size() > 8) return false;
  return name.find_first_not_of("0123456789", 5) == std::string::npos;
}

}  // namespace

std::unique_ptr<Backend> open_device(const std::string& name, int threads) {
  if (threads < 0 || threads > kMaxThreads) {
    throw Error(ErrorCode::kInvalidArgument, "threads " + std::to_string(threads) +
                                                 " is outside 0.." + std::to_string(kMaxThreads) +
                                                 "; 0 means all cores");
  }
  if (name == "cpu") {
#ifdef TOCAFARM_HAS_CPU
    return make_cpu_backend({.threads = threads, .isa = ""});
#else
    throw Error(ErrorCode::kUnsupported,
                "this build has no CPU backend; install libdnnl-dev and build again");
#endif
  }
  if (is_cuda_name(name)) {
    throw Error(ErrorCode::kUnsupported,
                "device " + name + ": this build has no CUDA backend; use cpu");
  }
  throw Error(ErrorCode::kInvalidArgument, "device " + name + " is unknown; use cpu or cuda:N");
}

std::string device_kind(const BackendInfo& device, DType dtype) {
  return device.kind + " " + dtype_name(dtype) + " tocafarm-" + engine_version();
}

}  // namespace engine
