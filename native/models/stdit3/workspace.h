// Every buffer of a prepared model, laid out once in one block of memory: a step allocates nothing.
#pragma once

#include "core/arena.h"
#include "models/stdit3/config.h"
#include "models/stdit3/geometry.h"

namespace engine {

struct WorkspaceShape {
  int64_t rows = 0;  // batch rows
  int64_t latent_frames = 0, latent_height = 0, latent_width = 0;
  DType compute = DType::kF32;
  bool own_feature = true;       // module outputs are made here, not in a caching policy's store
  bool needs_modulated = false;  // the MLP's input of every token is wanted on partial steps
};

// The vectors that follow from a time value, for every row.
struct TimeBuffers {
  TensorView values;     // [rows]
  TensorView sinusoid;   // [rows, width]
  TensorView hidden;     // [rows, C]
  TensorView embedding;  // [rows, C]: time + fps
  TensorView activated;  // [rows, C]
  TensorView projected;  // [rows, 6 C]: t_block
  TensorView blocks;     // [blocks, rows, 6 C]: scale_shift_table + t_block
  TensorView final;      // [2, rows, C]: final_layer.scale_shift_table + embedding
};

struct Workspace {
  // Token buffers. N tokens a row, C channels; "compute" is the dtype of the blocks' products.
  TensorView x;             // [rows, N, C], fp32: the residual stream
  TensorView final_tokens;  // [rows, N, patch volume · Cout], fp32: in the place of x
  TensorView scratch;       // [rows, N, C], fp32
  TensorView patches;       // [rows, N, Cin · patch volume], fp32: in the place of scratch
  TensorView h;             // [rows, N, C], compute
  TensorView wide;          // [rows, N, max(3 C, mlp)], compute
  TensorView feature;       // [rows, N, C], fp32; empty unless needed
  TensorView modulated;     // [rows, N, C], fp32; empty unless needed
  TensorView scores;        // [rows, N], fp32
  TensorView indices;       // [rows, N], i32
  TensorView output;        // [rows, Cout, T, H, W], fp32

  TimeBuffers noisy, clean;
  TensorView fps;  // [rows, C]

  // Constants of the shape.
  TensorView block_tables;        // [blocks, rows, 6 C]
  TensorView final_tables;        // [2, rows, C]
  TensorView position;            // [S, C]
  TensorView rope_cos, rope_sin;  // [T, head_dim / 2]

  // Clean frames.
  TensorView frame_mask;     // [rows, T], u8
  TensorView clean_indices;  // [rows, N], i32: the clean tokens of each row first
};

uint64_t workspace_bytes(const STDiT3Config& config, const WorkspaceShape& shape);
// Takes every buffer from `arena`, which has at least workspace_bytes().
Workspace lay_out_workspace(const STDiT3Config& config, const WorkspaceShape& shape, Arena& arena);

}  // namespace engine
