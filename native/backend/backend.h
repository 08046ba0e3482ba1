// The operations that models are written in, one interface for every device. backend/plain defines
// what is right (loops in float, for tests), backend/cpu is fast (oneDNN and SIMD chosen at run
// time), backend/cuda runs on NVIDIA GPUs.
//
// Rules of every operation: shapes are checked on entry (Error kInternal: our own mistake), nothing
// is allocated, no result depends on the number of threads or on other rows, reductions have a
// fixed order. Operations are queued on the stream in order; on a CPU they are done when the call
// returns.
#pragma once

#include <memory>
#include <string>

#include "backend/attention.h"
#include "backend/change.h"
#include "backend/cluster.h"
#include "backend/conv.h"
#include "backend/elementwise.h"
#include "backend/embed.h"
#include "backend/frequency.h"
#include "backend/linear.h"
#include "backend/norm.h"
#include "backend/packed_store.h"
#include "backend/residual.h"
#include "backend/sampler.h"
#include "backend/select.h"
#include "core/tensor.h"

namespace engine {

struct BackendInfo {
  // backend, chip, instruction set or SM, and the libraries that compute, with their versions:
  // "cpu avx512_bf16", "cpu avx512_amx onednn-2.6.3". Same kind, dtype and engine version = same
  // bits.
  std::string kind;
  std::string device_name;    // "AMD EPYC (2 threads)", "NVIDIA H200"
  uint64_t memory_bytes = 0;  // what the device has in all
  std::string isa;            // instruction set ("avx512") or SM ("sm_90") of the kernels
  std::string library;        // version of the library that can multiply ("2.6.3" of oneDNN)
  int threads = 1;            // 1 for a GPU
  bool bf16_native = false;   // whether bf16 gemm runs on bf16 instructions
  // Whether two lanes gain by computing at once: streams do, threads on the same cores do not.
  bool lanes_side_by_side = false;
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual const BackendInfo& info() const = 0;

  // Memory of the device, uninitialised, aligned to kBufferAlignment. Throws Error(kOutOfMemory)
  // naming needed and free bytes.
  virtual Tensor allocate(Shape shape, DType dtype) = 0;
  // Host to device and back; same dtype and number of elements.
  virtual void upload(ConstTensorView host, TensorView device) = 0;
  virtual void download(ConstTensorView device, TensorView host) = 0;
  virtual uint64_t free_memory_bytes() const = 0;
  virtual void synchronize() = 0;
  // The same device and memory for the lane that decodes while this one denoises: to be called from
  // a thread of its own, with a stream of its own where there are streams. Weights are packed with
  // the lane that they are used in. A backend without streams is its own second lane.
  virtual Backend& finishing_lane() { return *this; }

  // Weights are given once, from any float dtype, and kept in the layout and dtype that the
  // operation likes best. weight [out, in], bias [out] or empty. compute: kF32 or kBF16 (then the
  // inputs of linear() are bf16 as well).
  virtual std::unique_ptr<LinearWeights> pack_linear(ConstTensorView weight, ConstTensorView bias,
                                                     DType compute) = 0;
  // weight [out, in, kt, kh, kw] or [out, in, kh, kw], bias [out] or empty; fp32. compute as above.
  virtual std::unique_ptr<ConvWeights> pack_conv(ConstTensorView weight, ConstTensorView bias,
                                                 ConvGeometry geometry, DType compute) = 0;

  // A table or vector of weights on the device: in fp32, in bf16, or as it comes.
  virtual Tensor pack_tensor(ConstTensorView values, DType dtype);
  // From now on what pack_...() makes is kept in `store`, and taken from it (null: in memory of its
  // own). Weights need the store no longer than until they are packed.
  virtual void keep_packed_in(PackedStore* store) { packed_store_ = store; }
  // The next call of pack_...() takes what was kept, and reads no element of what it is given.
  bool packed_before() const { return packed_store_ != nullptr && packed_store_->holds_all(); }

  // linear.h
  virtual void linear(const LinearArgs& args) = 0;
  virtual void linear_residual(const LinearResidualArgs& args) = 0;
  virtual void linear_scatter(const LinearScatterArgs& args) = 0;
  // norm.h
  virtual void layer_norm_modulate(const LayerNormModulateArgs& args) = 0;
  virtual void rms_norm(const RmsNormArgs& args) = 0;
  virtual void group_norm(const GroupNormArgs& args) = 0;
  // attention.h
  virtual void self_attention(const SelfAttentionArgs& args) = 0;
  virtual void cross_attention(const CrossAttentionArgs& args) = 0;
  virtual void biased_attention(const BiasedAttentionArgs& args) = 0;
  // residual.h
  virtual void residual_add(const ResidualAddArgs& args) = 0;
  // select.h
  virtual void token_scores(const TokenScoresArgs& args) = 0;
  virtual void value_scores(const ValueScoresArgs& args) = 0;
  virtual void spread_scores(const SpreadScoresArgs& args) = 0;
  virtual void select_tokens(const SelectTokensArgs& args) = 0;
  virtual void gather_rows(const GatherRowsArgs& args) = 0;
  virtual void scatter_rows(const ScatterRowsArgs& args) = 0;
  // embed.h
  virtual void patchify(const PatchifyArgs& args) = 0;
  virtual void unpatchify(const UnpatchifyArgs& args) = 0;
  virtual void timestep_embedding(const TimestepEmbeddingArgs& args) = 0;
  virtual void token_embedding(const TokenEmbeddingArgs& args) = 0;
  virtual void add_rows(const AddRowsArgs& args) = 0;
  // elementwise.h
  virtual void activate(const ActivateArgs& args) = 0;
  virtual void gated_gelu(const GatedGeluArgs& args) = 0;
  virtual void add(const AddArgs& args) = 0;
  virtual void convert(const ConvertArgs& args) = 0;
  // conv.h
  virtual void conv(const ConvArgs& args) = 0;
  virtual void channels_to_time(const ChannelsToTimeArgs& args) = 0;
  virtual void channels_last(const ChannelsLastArgs& args) = 0;
  virtual void channels_first(const ChannelsFirstArgs& args) = 0;
  virtual void frames_to_rgb8(const FramesToRgb8Args& args) = 0;
  // sampler.h
  virtual void guided_euler(const GuidedEulerArgs& args) = 0;
  virtual void renoise_frames(const RenoiseFramesArgs& args) = 0;
  virtual void guided_noise(const GuidedNoiseArgs& args) = 0;
  virtual void weighted_sum(const WeightedSumArgs& args) = 0;
  virtual void learned_variance_noise(const LearnedVarianceNoiseArgs& args) = 0;
  // change.h
  virtual void relative_l1(const RelativeL1Args& args) = 0;
  virtual void update_differences(const UpdateDifferencesArgs& args) = 0;
  // frequency.h
  virtual void low_pass(const LowPassArgs& args) = 0;
  // cluster.h
  virtual void cluster_tokens(const ClusterTokensArgs& args) = 0;
  virtual void raise_representatives(const RaiseRepresentativesArgs& args) = 0;
  virtual void blend_clusters(const BlendClustersArgs& args) = 0;

 protected:
  PackedStore* packed_store_ = nullptr;
};

struct CpuOptions {
  int threads = 0;  // 0: all cores that this process may use
  // "" = the best that this CPU has; "baseline" | "avx2" | "avx512" caps it (tests, comparisons).
  // Error(kUnsupported) when absent.
  std::string isa;
};
std::unique_ptr<Backend> make_cpu_backend(const CpuOptions& options);
std::unique_ptr<Backend> make_plain_backend();

}  // namespace engine
