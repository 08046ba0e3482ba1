// One block of the encoder: self-attention with a shared position bias, then a gated MLP, each
// behind an RMS norm and added to the residual stream.
#pragma once

#include "models/t5/weights.h"

namespace engine {

// Buffers of one encode() call, rows = batch · length.
struct T5Workspace {
  Tensor hidden;            // [rows, d_model], fp32: the residual stream
  Tensor normed;            // [rows, d_model], compute dtype
  Tensor q, k, v;           // [rows, inner], fp32
  Tensor attended;          // [rows, inner], fp32
  Tensor attended_compute;  // [rows, inner], bf16; empty when the compute dtype is fp32
  Tensor projected;         // [rows, d_model], fp32: a module's output
  Tensor gate, value;       // [rows, d_ff], fp32
  Tensor gated;             // [rows, d_ff], compute dtype
  Tensor bias;              // [heads, length, length], fp32
  Tensor key_mask;          // [batch, length], u8
};

T5Workspace allocate_t5_workspace(Backend& backend, const T5Config& config, DType compute,
                                  int64_t batch, int64_t length);

// Bucket of a relative position (key - query), bidirectional (Raffel et al. 2020, "Exploring the
// limits of transfer learning", section 2.1): half of the buckets for each direction; within a
// direction one bucket a distance up to half of them, then logarithmic up to max_distance.
int64_t t5_relative_bucket(int64_t key_minus_query, int64_t buckets, int64_t max_distance);

// The position bias [heads, length, length] of a table [buckets, heads], on the host.
Tensor t5_position_bias(ConstTensorView table, int64_t max_distance, int64_t length);

// Advances workspace.hidden by one block.
void run_t5_block(Backend& backend, const T5Config& config, const T5BlockWeights& weights,
                  int64_t batch, int64_t length, T5Workspace& workspace);

}  // namespace engine
