// Clips of a STDiT3: T5 captions, rectified flow, the video VAE.
#pragma once

#include "models/stdit3/model.h"
#include "pipeline/clip_model.h"
#include "pipeline/model_parts.h"

namespace engine {

// Conditioning fps of a single image, whatever is asked for (as the model was trained).
inline constexpr double kImageFps = 120;

// As ClipModel::denoise().
Tensor denoise(Backend& backend, const STDiT3Weights& weights, const DenoiseJob& job);

// Throws as Engine::load().
std::unique_ptr<ClipModel> load_stdit3_clip(ModelParts& parts, DType dtype);

}  // namespace engine
