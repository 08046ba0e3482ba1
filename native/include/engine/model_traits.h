// What a model is, told from its config files alone: what it renders, what a prompt is to it, and
// the settings that it was published with.
#pragma once

#include <string>
#include <vector>

namespace engine {

// A caption for a text encoder, or one of the classes that the model was trained on, by number or
// by name.
enum class PromptKind { kText, kClass };
const char* prompt_kind_name(PromptKind kind);  // "text", "class"

// A sampler that the model was published with, as RenderRequest::sampler names it.
struct SamplerTraits {
  std::string name;
  int steps = 0;  // usual ones
};

struct ModelTraits {
  std::string family;  // "stdit3", "pixart", "dit"
  PromptKind prompt = PromptKind::kText;
  bool images_only = false;  // frames must be 1
  bool fixed_size = false;   // height and width must be the usual ones
  // The usual request: pixel frames, pixels, conditioning fps, scale of guidance.
  int frames = 0, height = 0, width = 0;
  double fps = 0;
  double guidance = 0;
  std::vector<SamplerTraits> samplers;  // the first is the usual one
};

}  // namespace engine
