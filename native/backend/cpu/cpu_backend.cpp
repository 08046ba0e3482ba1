#include "backend/cpu/cpu_backend.h"

#include <sched.h>

#include <cstring>
#include <fstream>

#include "backend/cpu/attention.h"
#include "backend/cpu/change.h"
#include "backend/cpu/cluster.h"
#include "backend/cpu/conv.h"
#include "backend/cpu/elementwise.h"
#include "backend/cpu/embed.h"
#include "backend/cpu/frequency.h"
#include "backend/cpu/host_memory.h"
#include "backend/cpu/layout.h"
#include "backend/cpu/linear.h"
#include "backend/cpu/linear_onednn.h"
#include "backend/cpu/norm.h"
#include "backend/cpu/residual.h"
#include "backend/cpu/sampler.h"
#include "backend/cpu/select.h"
#include "backend/shapes.h"
#include "engine/error.h"

namespace engine::cpu {

namespace {

// More threads than any CPU has cores are a mistake in a setting.
constexpr int kThreadsMax = 4096;
// From here on a look at the system's free memory costs nothing beside the allocation.
constexpr uint64_t kLargeAllocationBytes = 16 * 1024 * 1024;

int usable_cores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (sched_getaffinity(0, sizeof cores, &cores) != 0) return 1;
  return CPU_COUNT(&cores);
}

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) {
      return line.substr(colon + 2);
    }
  }
  return "x86-64";
}

CpuContext make_context(const CpuOptions& options) {
  if (options.threads < 0 || options.threads > kThreadsMax) {
    throw Error(ErrorCode::kInvalidArgument, "threads is " + std::to_string(options.threads) +
                                                 "; give 1 to " + std::to_string(kThreadsMax) +
                                                 ", or 0 for all cores");
  }
  CpuContext context;
  context.threads = options.threads == 0 ? usable_cores() : options.threads;
  context.isa = choose_isa(options.isa);
  context.bf16_native = context.isa == Isa::kAvx512 && cpu_has_bf16();
  context.bf16_tiles = context.bf16_native && cpu_has_bf16_tiles();
  return context;
}

std::string mebibytes(uint64_t bytes) {
  return std::to_string(bytes / (1024 * 1024)) + " MiB";
}

void copy(ConstTensorView source, TensorView destination) {
  check_copy(source, destination);
  if (source.bytes() > 0) std::memcpy(destination.data(), source.data(), source.bytes());
}

}  // namespace

CpuBackend::CpuBackend(const CpuOptions& options) : context_(make_context(options)) {
  info_.kind = std::string("cpu ") + isa_name(context_.isa);
  if (context_.bf16_native) info_.kind += context_.bf16_tiles ? "_amx" : "_bf16";
  if (context_.bf16_tiles) info_.kind += std::string(" onednn-") + onednn_version();
  info_.isa = isa_name(context_.isa);
  info_.library = onednn_version();
  info_.threads = context_.threads;
  info_.device_name = processor_name() + " (" + std::to_string(context_.threads) +
                      (context_.threads == 1 ? " thread)" : " threads)");
  info_.memory_bytes = host_memory().total_bytes;
  info_.bf16_native = context_.bf16_native;
}

Tensor CpuBackend::allocate(Shape shape, DType dtype) {
  const uint64_t bytes = tensor_bytes(shape, dtype);
  if (bytes >= kLargeAllocationBytes) {
    const uint64_t available = free_memory_bytes();
    if (bytes > available) {
      throw Error(ErrorCode::kOutOfMemory,
                  "a buffer of " + mebibytes(bytes) + " is needed, but only " +
                      mebibytes(available) +
                      " of memory are available; render fewer frames or a smaller size");
    }
  }
  return Tensor(shape, dtype);
}

void CpuBackend::upload(ConstTensorView host, TensorView device) {
  copy(host, device);
}
void CpuBackend::download(ConstTensorView device, TensorView host) {
  copy(device, host);
}
uint64_t CpuBackend::free_memory_bytes() const {
  return host_memory().available_bytes;
}

std::unique_ptr<LinearWeights> CpuBackend::pack_linear(ConstTensorView weight, ConstTensorView bias,
                                                       DType compute) {
  check_linear_weights(weight, bias, compute);
  return cpu::pack_linear(context_, weight, bias, compute);
}

std::unique_ptr<ConvWeights> CpuBackend::pack_conv(ConstTensorView weight, ConstTensorView bias,
                                                   ConvGeometry geometry, DType compute) {
  check_conv_weights(weight, bias, geometry, compute);
  return cpu::pack_conv(context_, weight, bias, geometry, compute);
}

Tensor CpuBackend::pack_tensor(ConstTensorView values, DType dtype) {
  if (packed_store_ == nullptr) return Backend::pack_tensor(values, dtype);
  return pack_values(packed_store_, values, dtype);  // the host is the device
}

void CpuBackend::keep_packed_in(PackedStore* store) {
  Backend::keep_packed_in(store);
  context_.packed = store;
}

void CpuBackend::linear(const LinearArgs& args) {
  check_args(args);
  cpu::linear(context_, args);
}
void CpuBackend::linear_residual(const LinearResidualArgs& args) {
  cpu::linear_residual(context_, args);
}
void CpuBackend::linear_scatter(const LinearScatterArgs& args) {
  cpu::linear_scatter(context_, args);
}
void CpuBackend::layer_norm_modulate(const LayerNormModulateArgs& args) {
  cpu::layer_norm_modulate(context_, args);
}
void CpuBackend::rms_norm(const RmsNormArgs& args) {
  cpu::rms_norm(context_, args);
}
void CpuBackend::group_norm(const GroupNormArgs& args) {
  cpu::group_norm(context_, args);
}
void CpuBackend::self_attention(const SelfAttentionArgs& args) {
  check_args(args);
  cpu::self_attention(context_, args);
}
void CpuBackend::cross_attention(const CrossAttentionArgs& args) {
  check_args(args);
  cpu::cross_attention(context_, args);
}
void CpuBackend::biased_attention(const BiasedAttentionArgs& args) {
  check_args(args);
  cpu::biased_attention(context_, args);
}
void CpuBackend::residual_add(const ResidualAddArgs& args) {
  cpu::residual_add(context_, args);
}
void CpuBackend::token_scores(const TokenScoresArgs& args) {
  cpu::token_scores(context_, args);
}
void CpuBackend::value_scores(const ValueScoresArgs& args) {
  cpu::value_scores(context_, args);
}
void CpuBackend::spread_scores(const SpreadScoresArgs& args) {
  cpu::spread_scores(context_, args);
}
void CpuBackend::select_tokens(const SelectTokensArgs& args) {
  cpu::select_tokens(context_, args);
}
void CpuBackend::gather_rows(const GatherRowsArgs& args) {
  cpu::gather_rows(context_, args);
}
void CpuBackend::scatter_rows(const ScatterRowsArgs& args) {
  cpu::scatter_rows(context_, args);
}
void CpuBackend::patchify(const PatchifyArgs& args) {
  cpu::patchify(context_, args);
}
void CpuBackend::unpatchify(const UnpatchifyArgs& args) {
  cpu::unpatchify(context_, args);
}
void CpuBackend::timestep_embedding(const TimestepEmbeddingArgs& args) {
  cpu::timestep_embedding(context_, args);
}
void CpuBackend::token_embedding(const TokenEmbeddingArgs& args) {
  cpu::token_embedding(context_, args);
}
void CpuBackend::add_rows(const AddRowsArgs& args) {
  cpu::add_rows(context_, args);
}
void CpuBackend::activate(const ActivateArgs& args) {
  cpu::activate(context_, args);
}
void CpuBackend::gated_gelu(const GatedGeluArgs& args) {
  cpu::gated_gelu(context_, args);
}
void CpuBackend::add(const AddArgs& args) {
  cpu::add(context_, args);
}
void CpuBackend::convert(const ConvertArgs& args) {
  cpu::convert(context_, args);
}
void CpuBackend::conv(const ConvArgs& args) {
  check_args(args);
  cpu::conv(context_, args);
}
void CpuBackend::channels_to_time(const ChannelsToTimeArgs& args) {
  cpu::channels_to_time(context_, args);
}
void CpuBackend::channels_last(const ChannelsLastArgs& args) {
  cpu::channels_last(context_, args);
}
void CpuBackend::channels_first(const ChannelsFirstArgs& args) {
  cpu::channels_first(context_, args);
}
void CpuBackend::frames_to_rgb8(const FramesToRgb8Args& args) {
  cpu::frames_to_rgb8(context_, args);
}
void CpuBackend::guided_euler(const GuidedEulerArgs& args) {
  cpu::guided_euler(context_, args);
}
void CpuBackend::renoise_frames(const RenoiseFramesArgs& args) {
  cpu::renoise_frames(context_, args);
}
void CpuBackend::guided_noise(const GuidedNoiseArgs& args) {
  cpu::guided_noise(context_, args);
}
void CpuBackend::weighted_sum(const WeightedSumArgs& args) {
  cpu::weighted_sum(context_, args);
}
void CpuBackend::learned_variance_noise(const LearnedVarianceNoiseArgs& args) {
  cpu::learned_variance_noise(context_, args);
}
void CpuBackend::relative_l1(const RelativeL1Args& args) {
  cpu::relative_l1(context_, args);
}
void CpuBackend::update_differences(const UpdateDifferencesArgs& args) {
  cpu::update_differences(context_, args);
}
void CpuBackend::low_pass(const LowPassArgs& args) {
  cpu::low_pass(context_, args);
}
void CpuBackend::cluster_tokens(const ClusterTokensArgs& args) {
  cpu::cluster_tokens(context_, args);
}
void CpuBackend::raise_representatives(const RaiseRepresentativesArgs& args) {
  cpu::raise_representatives(context_, args);
}
void CpuBackend::blend_clusters(const BlendClustersArgs& args) {
  cpu::blend_clusters(context_, args);
}

}  // namespace engine::cpu

namespace engine {

std::unique_ptr<Backend> make_cpu_backend(const CpuOptions& options) {
  return std::make_unique<cpu::CpuBackend>(options);
}

}  // namespace engine
