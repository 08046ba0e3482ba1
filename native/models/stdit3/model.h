// STDiT3 (Open-Sora v1.2) prepared for one latent shape and one caching policy: latent, time, fps
// and captions in, velocity out.
//
// Rows of a guided batch: the clips' conditional rows, then as many unconditional ones.
#pragma once

#include <memory>
#include <span>

#include "cache/guidance_cache.h"
#include "models/stdit3/conditioning.h"
#include "models/transformer/trunk.h"

namespace engine {

struct STDiT3Shape {
  int64_t clips = 1;
  bool guided = true;  // 2 · clips rows, the latent repeated; else clips rows
  int64_t latent_frames = 0, latent_height = 0, latent_width = 0;
  double pixel_height = 0, pixel_width = 0;  // as asked for: the scale of the positions
  int64_t text_tokens_nominal = 30;          // L of the nominal FLOPs in reports

  int64_t rows() const { return guided ? 2 * clips : clips; }
};

struct STDiT3Step {
  int step = 0;                      // what the policy is asked about
  ConstTensorView latent;            // [clips, Cin, T, H, W], fp32, device
  std::span<const float> timesteps;  // one for each clip, 0 .. 1000
  // [clips, T], u8, host: 1 = noisy frame, 0 = clean frame, modulated as at time 0. Empty: all
  // are noisy.
  ConstTensorView x_mask;
};

class STDiT3 {
 public:
  // Allocates workspace and feature store; weights and policy must outlive the object. Throws
  // Error(kOutOfMemory), or Error(kInvalidArgument) for a policy that needs guidance where there is
  // none.
  STDiT3(Backend& backend, const STDiT3Weights& weights, const STDiT3Shape& shape,
         const CachePolicy& policy);
  STDiT3(const STDiT3&) = delete;  // its parts refer to each other
  STDiT3& operator=(const STDiT3&) = delete;

  // What the constructor allocates for such a shape.
  struct Memory {
    uint64_t workspace_bytes = 0;
    uint64_t cache_bytes = 0;
  };
  static Memory memory(const STDiT3Config& config, const STDiT3Shape& shape, DType compute,
                       const CachePolicy& policy);

  // Before the first step of every clip. `text` (one row for each row of the batch) must outlive
  // the steps; `fps` has one value for each clip.
  void condition(const STDiT3Text& text, std::span<const float> fps, const TensorTap& tap = {});

  // Seeds of the clips, before the first step: a policy that ranks tokens at random draws from
  // them.
  void seed(std::span<const uint64_t> clips) { trunk_.seed(clips); }

  // Steps of a clip come in order, from 0 or from a refresh point of the policy. Returns
  // [rows, Cout, T, H, W], fp32, device; valid until the next call. Throws Error(kCancelled).
  ConstTensorView step(const STDiT3Step& step, const StepHooks& hooks = {});

  const TokenGrid& grid() const { return grid_; }
  const STDiT3Shape& shape() const { return shape_; }

 private:
  void upload_constants();
  FrameMask frame_mask(ConstTensorView x_mask);
  void embed_latent(ConstTensorView latent, const TensorTap& tap);
  void run_blocks(const STDiT3Step& step, const FrameMask& frames, const StepHooks& hooks);
  void final_layer(const FrameMask& frames, const TensorTap& tap);
  void renormalise_clean_tokens();

  Backend& backend_;
  const STDiT3Weights& weights_;
  STDiT3Shape shape_;
  TokenGrid grid_;
  Arena arena_;
  Workspace space_;
  Trunk trunk_;
  GuidanceCache guidance_;
  int64_t rows_ = 0;  // that the step computes

  const STDiT3Text* text_ = nullptr;
  Tensor frame_mask_host_;             // [rows, T], u8
  Tensor clean_indices_host_;          // [rows, N], i32
  std::vector<int64_t> clean_counts_;  // tokens of clean frames in each row
  std::vector<float> row_values_;      // one for each row
  bool clean_vectors_ready_ = false;
};

}  // namespace engine
