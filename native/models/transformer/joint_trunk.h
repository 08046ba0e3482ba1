// An image transformer from latent to prediction, but for what steers it: patches, positions, one
// joint block a layer, final layer. PixArt-alpha and DiT differ in where the modulation vectors
// come from, and in cross-attention.
//
// Rows of a guided batch: the clips' conditional rows, then as many unconditional ones.
#pragma once

#include "cache/guidance_cache.h"
#include "models/transformer/joint_buffers.h"
#include "models/transformer/joint_weights.h"
#include "models/transformer/text.h"
#include "models/transformer/trunk.h"

namespace engine {

struct JointStep {
  int step = 0;                       // what the policy is asked about
  ConstTensorView latent;             // [clips, Cin, 1, H, W], fp32, device
  RowVectors shift, scale;            // of the final layer
  const EncodedText* text = nullptr;  // null without cross-attention
};

class JointTrunk {
 public:
  // Weights, policy and the memory of `buffers` must outlive the object; `position` [N, C] is in
  // host memory. Throws Error(kOutOfMemory), or Error(kInvalidArgument) for a policy that needs
  // guidance where there is none.
  JointTrunk(Backend& backend, const JointWeights& weights, const JointShape& shape,
             const CachePolicy& policy, const JointBuffers& buffers, ConstTensorView position);
  JointTrunk(const JointTrunk&) = delete;  // its parts refer to each other
  JointTrunk& operator=(const JointTrunk&) = delete;

  // What the constructor allocates for what the policy keeps.
  static uint64_t cache_bytes(const JointConfig& config, const JointShape& shape,
                              const CachePolicy& policy);

  // Seeds of the clips, before the first step: a policy that ranks tokens at random draws from
  // them.
  void seed(std::span<const uint64_t> clips) { trunk_.seed(clips); }
  // Before the first step of every clip.
  void begin_clip() {
    trunk_.begin_clip();
    guidance_.begin_clip();
  }
  // With buffers.vectors filled. Returns [rows, Cout, 1, H, W], fp32, device; valid until the next
  // call. Throws Error(kCancelled).
  ConstTensorView step(const JointStep& step, const StepHooks& hooks);

 private:
  void embed_latent(ConstTensorView latent, const TensorTap& tap);
  void run_blocks(const JointStep& step, const StepHooks& hooks);
  void final_layer(const JointStep& step, const TensorTap& tap);

  Backend& backend_;
  const JointWeights& weights_;
  JointShape shape_;
  TokenGrid grid_;
  JointBuffers space_;
  Trunk trunk_;
  GuidanceCache guidance_;
  int64_t rows_ = 0;  // that the step computes
};

}  // namespace engine
