// Names of the stages, as in events, traces and metrics.
#include "core/check.h"
#include "engine/report.h"

namespace engine {

const char* stage_name(Stage stage) {
  switch (stage) {
    case Stage::kLoad:
      return "load";
    case Stage::kTextEncode:
      return "text_encode";
    case Stage::kDenoise:
      return "denoise";
    case Stage::kDecode:
      return "decode";
  }
  check(false, "a stage without a name");
  return "";
}

}  // namespace engine
