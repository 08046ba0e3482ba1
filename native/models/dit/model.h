// A DiT prepared for some pictures and one caching policy: latent, time and class label in,
// predicted noise and variance out.
//
// Rows of a guided batch: the clips' conditional rows, then as many of the null class.
#pragma once

#include <span>

#include "core/arena.h"
#include "models/dit/weights.h"
#include "models/transformer/joint_trunk.h"

namespace engine {

struct DitStep {
  int step = 0;                      // what the policy is asked about
  ConstTensorView latent;            // [clips, Cin, 1, H, W], fp32, device
  std::span<const float> timesteps;  // one for each clip, 0 .. 1000
};

// Buffers of what steers the blocks.
struct DitConditioning {
  SinusoidBuffers time;
  TensorView label_ids;       // [rows], i32
  TensorView labels;          // [rows, C]: embedded
  TensorView embedding;       // [rows, C]: time + label
  TensorView activated;       // [rows, C], fp32
  TensorView activated_fast;  // [rows, C], compute dtype; empty for fp32
  TensorView final;           // [rows, 2 C]: shift, scale
};

class Dit {
 public:
  // Allocates workspace and feature store; weights and policy must outlive the object. Throws
  // Error(kOutOfMemory), or Error(kInvalidArgument) for a size that the model was not made for, or
  // guidance without a null class.
  Dit(Backend& backend, const DitWeights& weights, const JointShape& shape,
      const CachePolicy& policy);

  // What the constructor allocates for such a shape.
  static JointMemory memory(const DitConfig& config, const JointShape& shape, DType compute,
                            const CachePolicy& policy);

  // Before the first step of every clip: a class for each clip. Throws Error(kInvalidArgument) for
  // one that the model does not have.
  void condition(std::span<const int32_t> labels);

  // Seeds of the clips, before the first step: a policy that ranks tokens at random draws from
  // them.
  void seed(std::span<const uint64_t> clips) { trunk_.seed(clips); }

  // Steps of a clip come in order, from 0 or from a refresh point of the policy. Returns
  // [rows, Cout, 1, H, W], fp32, device; valid until the next call. Throws Error(kCancelled).
  ConstTensorView step(const DitStep& step, const StepHooks& hooks = {});

  const JointShape& shape() const { return shape_; }

 private:
  void modulation_vectors(std::span<const float> timesteps);

  Backend& backend_;
  const DitWeights& weights_;
  JointShape shape_;
  Arena arena_;
  DitConditioning conditioning_;
  JointBuffers buffers_;
  JointTrunk trunk_;
  std::vector<float> row_times_;  // one for each row
  bool conditioned_ = false;
};

}  // namespace engine
