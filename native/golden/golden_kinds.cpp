#include "golden/golden_kinds.h"

#include "core/quote.h"
#include "engine/error.h"

namespace engine {

namespace {

struct Kind {
  const char* name;
  GoldenChecks (*run)(const GoldenCase&, Backend&, const GoldenOptions&);
};

constexpr Kind kKinds[] = {
    {"stdit3-forward", run_stdit3_forward},
    {"stdit3-rflow", run_stdit3_rflow},
    {"dit", run_dit},
    {"pixart", run_pixart},
#ifdef TOCAFARM_GOLDEN_T5
    {"t5-encoder", run_t5_encoder},
#endif
#ifdef TOCAFARM_GOLDEN_VAE
    {"vae-decode", run_vae_decode},
    {"vae-encode", run_vae_encode},
#endif
#ifdef TOCAFARM_GOLDEN_PIPELINE
    {"pipeline", run_pipeline},
#endif
};

}  // namespace

GoldenChecks run_golden_case(const GoldenCase& golden, Backend& backend,
                             const GoldenOptions& options) {
  for (const Kind& kind : kKinds) {
    if (golden.kind() == kind.name) return kind.run(golden, backend, options);
  }
  std::string message = golden.folder().string() + ": this build knows no golden case of kind " +
                        quote(golden.kind()) + "; known:";
  for (const std::string& name : golden_kind_names()) message += " " + name;
  throw Error(ErrorCode::kUnsupported, message);
}

std::vector<std::string> golden_kind_names() {
  std::vector<std::string> names;
  for (const Kind& kind : kKinds) names.emplace_back(kind.name);
  return names;
}

}  // namespace engine
