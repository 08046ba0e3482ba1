// What is asked of the engine: plain data, checked in one place (pipeline/request.cpp) against
// bounds that the errors name.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace engine {

// A caching policy by name with its options, all spelled as in docs/policies.md ("interval",
// "fresh_ratio", ...).
struct PolicySpec {
  std::string name = "none";
  std::map<std::string, std::string> options;
};

struct RenderRequest {
  // Cleaned text (engine/prompt.ts cleans), or for a model of classes one of these.
  std::string prompt;
  int frames = 51;   // pixel frames; 1 = an image
  int height = 240;  // pixels asked for; the output is 8 x floor(height / 8)
  int width = 426;
  double fps = 24;  // conditioning value, not the file's rate
  int steps = 30;
  double guidance = 7.0;
  uint64_t seed = 42;
  std::string sampler;  // one that the model was published with; empty = the usual one
  PolicySpec policy;
  int text_tokens_nominal = 30;  // L of the nominal FLOP count
};

// Bounds of a request; a value outside is an error that names them.
inline constexpr int kMaxFrames = 4096;
inline constexpr int kMaxPixelsPerSide = 8192;
inline constexpr int kMaxSteps = 1000;

}  // namespace engine
