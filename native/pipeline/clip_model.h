// A model folder in an engine's memory, from prompt to frames: conditioning, transformer, VAE.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "models/video_vae/model.h"
#include "pipeline/latent_stage.h"

namespace engine {

// condition() and denoise() are called from one thread, decode() and release_workspace() from
// another one: a clip may be decoded while the next one is denoised.
class ClipModel {
 public:
  virtual ~ClipModel() = default;

  // `prompt` is cleaned text, or a class. Throws Error(kCancelled) between layers, and
  // Error(kInvalidArgument) for what is no class.
  virtual Conditions condition(const std::string& prompt,
                               const std::function<bool()>& cancelled) = 0;
  // Whether condition() will load a text encoder for this prompt, and whether one is in memory.
  virtual bool awaits_text_encoder(const std::string&) { return false; }
  virtual bool has_text_encoder() const { return false; }
  // Returns the final latent, device memory. The cache lives as long as the call. Throws as
  // run_sampler().
  virtual Tensor denoise(const DenoiseJob& job) = 0;
  // latent [1, C, T, h, w], device. Gives `frames` frames to `sink`. Throws Error(kCancelled).
  virtual void decode(ConstTensorView latent, int frames, const VaeFrameSink& sink,
                      const VaeHooks& hooks) = 0;
  // Gives the memory of decoding back.
  virtual void release_workspace() = 0;
};

}  // namespace engine
