#include "pipeline/request_check.h"

#include <cmath>
#include <sstream>
#include <string>

#include "engine/error.h"

namespace engine {
namespace {

// A prompt longer than this is a mistake: the tokenizer keeps 300 tokens.
constexpr size_t kMaxPromptBytes = 64 * 1024;
constexpr int kMinPixelsPerSide = 16;  // one patch of 2 x 2 latents
constexpr double kMaxFps = 1000;
constexpr double kMaxGuidance = 1000;
constexpr int kMaxTextTokensNominal = 4096;

template <typename Number>
void check_range(const char* field, Number value, Number min, Number max, const char* remedy) {
  if (value >= min && value <= max) return;  // NaN fails both
  std::ostringstream message;
  message << field << " " << value << " is outside " << min << ".." << max << "; " << remedy;
  throw Error(ErrorCode::kInvalidArgument, message.str());
}

}  // namespace

void check_request(const RenderRequest& request) {
  check_range("frames", request.frames, 1, kMaxFrames, "render a longer clip in segments");
  check_range("height", request.height, kMinPixelsPerSide, kMaxPixelsPerSide,
              "choose a size in pixels");
  check_range("width", request.width, kMinPixelsPerSide, kMaxPixelsPerSide,
              "choose a size in pixels");
  check_range("fps", request.fps, 1.0, kMaxFps, "choose frames per second");
  check_range("steps", request.steps, 1, kMaxSteps, "30 is usual");
  check_range("guidance", request.guidance, 0.0, kMaxGuidance, "7 is usual");
  check_range("text tokens", request.text_tokens_nominal, 1, kMaxTextTokensNominal,
              "30 is what the published figures count");
  if (request.prompt.size() > kMaxPromptBytes) {
    throw Error(ErrorCode::kInvalidArgument,
                "the prompt has " + std::to_string(request.prompt.size()) + " bytes; at most " +
                    std::to_string(kMaxPromptBytes) + " are allowed: shorten it");
  }
}

}  // namespace engine
