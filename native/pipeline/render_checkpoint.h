// A render between two steps, as a file that another engine of the same kind goes on from with the
// same bits: safetensors with the latent, and in the metadata what the clip's bits follow from.
//
// At a refresh point nothing cached is needed any more: the latent is all of the state, and beside
// it what the sampler keeps of the step before (DPM-Solver++ its prediction, the others nothing).
#pragma once

#include <filesystem>
#include <string>

#include "core/tensor.h"
#include "engine/plan.h"

namespace engine {

// A checkpoint continues a render only where all of this is the same.
struct ClipIdentity {
  int steps = 0;  // of the sampler
  uint64_t seed = 0;
  std::string policy;
  std::string prompt_sha256;          // of the cleaned text
  std::string initial_latent_sha256;  // of the noise, or of the given latent, before step 0
  std::string plan_digest;
  std::string weights_digest;
  std::string kind;  // of the device
};

// The latent before `step`, [1, C, T, h, w], fp32, host; step = number of steps: it is final.
struct SamplerState {
  int step = 0;
  Tensor latent;
  Tensor history = {};  // as the latent; empty: the sampler keeps nothing, or there is no next step
};

// "checkpoint-12.safetensors"
std::string render_checkpoint_name(int step);

// The file appears whole or not at all. Throws Error(kIo | kNotFound).
void write_render_checkpoint(const std::filesystem::path& file, const ClipIdentity& clip,
                             const SamplerState& state);

// Throws Error(kInvalidCheckpoint), beginning with "the checkpoint", for a file that cannot be
// read, is damaged, is of another clip or kind, whose latent or history has not the shape
// `expected` or whose step is neither a refresh point of `plan` nor its end.
SamplerState read_render_checkpoint(const std::filesystem::path& file, const ClipIdentity& clip,
                                    const Plan& plan, const Shape& expected);

// SHA-256 of a host tensor's bytes, in hex.
std::string tensor_sha256(ConstTensorView tensor);

}  // namespace engine
