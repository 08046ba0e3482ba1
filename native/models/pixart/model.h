// A PixArt-alpha prepared for some pictures and one caching policy: latent, time and captions in,
// predicted noise (and variance) out.
//
// Rows of a guided batch: the clips' conditional rows, then as many unconditional ones.
#pragma once

#include <span>

#include "core/arena.h"
#include "models/pixart/weights.h"
#include "models/transformer/joint_trunk.h"

namespace engine {

struct PixartStep {
  int step = 0;                      // what the policy is asked about
  ConstTensorView latent;            // [clips, Cin, 1, H, W], fp32, device
  std::span<const float> timesteps;  // one for each clip, 0 .. 1000
};

// Buffers of what steers the blocks.
struct PixartConditioning {
  SinusoidBuffers time;
  TensorView micro;         // [rows, C]: embedded size and aspect ratio; empty without
  TensorView embedding;     // [rows, C]: time + micro
  TensorView activated;     // [rows, C]
  TensorView projected;     // [rows, 6 C]: t_block
  TensorView final;         // [2, rows, C]: shift, scale
  TensorView block_tables;  // [depth, rows, 6 C]
  TensorView final_tables;  // [2, rows, C]
};

// Text for the model's cross-attention. `unconditional` (guided batches only): the encoding of the
// empty prompt under its own mask; left empty, the checkpoint's null caption is cut to each
// prompt's mask, as published. Throws Error(kInvalidArgument) for captions that are too long, masks
// that keep nothing, or a missing null caption.
EncodedText encode_captions(Backend& backend, const PixartWeights& weights,
                            const Captions& conditional, const Captions& unconditional, bool guided,
                            const TensorTap& tap = {});

class Pixart {
 public:
  // Allocates workspace and feature store; weights and policy must outlive the object. Throws
  // Error(kOutOfMemory), or Error(kInvalidArgument) for a policy that needs guidance where there is
  // none.
  Pixart(Backend& backend, const PixartWeights& weights, const JointShape& shape,
         const CachePolicy& policy);

  // What the constructor allocates for such a shape.
  static JointMemory memory(const PixartConfig& config, const JointShape& shape, DType compute,
                            const CachePolicy& policy);

  // Before the first step of every clip. `text` (one row for each row of the batch) must outlive
  // the steps. Size in pixels, as asked for: what a model with micro conditions is told.
  void condition(const EncodedText& text, double pixel_height, double pixel_width);

  // Seeds of the clips, before the first step: a policy that ranks tokens at random draws from
  // them.
  void seed(std::span<const uint64_t> clips) { trunk_.seed(clips); }

  // Steps of a clip come in order, from 0 or from a refresh point of the policy. Returns
  // [rows, Cout, 1, H, W], fp32, device; valid until the next call. Throws Error(kCancelled).
  ConstTensorView step(const PixartStep& step, const StepHooks& hooks = {});

  const JointShape& shape() const { return shape_; }

 private:
  void upload_tables();
  void embed_size(double pixel_height, double pixel_width);
  void modulation_vectors(std::span<const float> timesteps);

  Backend& backend_;
  const PixartWeights& weights_;
  JointShape shape_;
  Arena arena_;
  PixartConditioning conditioning_;
  JointBuffers buffers_;
  JointTrunk trunk_;
  const EncodedText* text_ = nullptr;
  std::vector<float> row_times_;  // one for each row
};

}  // namespace engine
