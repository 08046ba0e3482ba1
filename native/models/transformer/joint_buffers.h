// Every buffer of an image transformer's trunk, laid out once in one block of memory: a step
// allocates nothing.
#pragma once

#include <functional>

#include "cache/feature_store.h"
#include "models/transformer/block.h"
#include "models/transformer/joint_config.h"

namespace engine {

struct JointShape {
  int64_t clips = 1;
  bool guided = true;  // 2 · clips rows, the latent repeated; else clips rows
  int64_t latent_height = 0, latent_width = 0;
  int64_t text_tokens_nominal = 30;  // L of the nominal FLOPs in reports

  int64_t rows() const { return guided ? 2 * clips : clips; }
};

TokenGrid token_grid(const JointConfig& config, const JointShape& shape);

struct JointBuffers {
  BlockBuffers blocks;
  TensorView patches;       // [rows, N, Cin · patch volume], fp32: in the place of blocks.scratch
  TensorView final_tokens;  // [rows, N, patch volume · Cout], fp32: in the place of blocks.x
  TensorView output;        // [rows, Cout, 1, H, W], fp32
  TensorView position;      // [N, C], fp32
  TensorView vectors;       // [depth, rows, 6 C], fp32: modulation of every block
};

// Gives a buffer of this shape, or only counts its bytes.
using TakeBuffer = std::function<TensorView(const Shape& shape, DType dtype)>;

JointBuffers lay_out_joint(const JointConfig& config, const JointShape& shape, DType compute,
                           const CachePolicy& policy, const TakeBuffer& take);

// What the policy keeps of such a model.
FeatureStoreShape joint_store_shape(const JointConfig& config, const JointShape& shape,
                                    const CachePolicy& policy);

// Bytes that `lay_out`(take) asks for in all.
uint64_t buffer_bytes(const std::function<void(const TakeBuffer&)>& lay_out);

// What preparing a model allocates.
struct JointMemory {
  uint64_t workspace_bytes = 0;
  uint64_t cache_bytes = 0;
};

}  // namespace engine
